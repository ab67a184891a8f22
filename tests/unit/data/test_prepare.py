"""From a recipe's section to rows."""

from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.columns import Columns
from adapterhub_lite.data.hashing import fingerprint
from adapterhub_lite.data.prepare import PreparedData, load, prepare
from adapterhub_lite.errors import DataError
from adapterhub_lite.recipes.data import DataSection

TRAIN = "utterance,intent\n" + "".join(
    f"{text} number {number},{label}\n"
    for number in range(10)
    for text, label in (("where is card", "card"), ("pay the bill", "bill"))
)


@pytest.fixture
def train(tmp_path: Path) -> Path:
    path = tmp_path / "train.csv"
    path.write_text(TRAIN + ",card\npay the bill number 0,bill\n")
    return path


def prepared(train: Path, catalogue: Catalogue, **options: Any) -> PreparedData:
    return prepare(DataSection(train=str(train), **options), catalogue)


def write(folder: Path, name: str, content: str) -> str:
    (folder / name).write_text(content)
    return str(folder / name)


def test_training_rows_alone(train: Path, catalogue: Catalogue) -> None:
    data = prepared(train, catalogue)
    assert data.columns == Columns("utterance", "intent")
    assert len(data.train) == 20
    assert data.test is None
    assert data.test_from is None
    assert data.removed == {"train": {"empty text": 1, "exact duplicate": 1}}
    assert data.fingerprints == {"train": fingerprint(data.train)}
    assert data.report.train.rows == 22


def test_a_test_file_is_read_from_the_same_columns_and_keeps_its_duplicates(
    tmp_path: Path, train: Path, catalogue: Catalogue
) -> None:
    rows = "intent;label;utterance\ncard;1;a  card\ncard;2;a card\nbill;3;\n"
    data = prepared(train, catalogue, test=write(tmp_path, "test.csv", rows))
    assert data.test is not None
    assert data.test.texts == ("a card", "a card")
    assert data.test_from == "file"
    assert data.removed["test"] == {"empty text": 1}
    assert set(data.fingerprints) == {"train", "test"}
    assert "';'" in data.notes[0]


def test_rows_held_out_are_the_same_each_time(train: Path, catalogue: Catalogue) -> None:
    section: dict[str, Any] = {"holdout": 0.2, "near_duplicate": 1.0}
    data = prepared(train, catalogue, **section)
    assert data.test is not None
    assert (len(data.train), len(data.test)) == (16, 4)
    assert data.test_from == "holdout"
    assert prepared(train, catalogue, **section) == data
    other = prepare(DataSection(train=str(train), **section), catalogue, holdout_seed=1)
    assert other.fingerprints != data.fingerprints


def test_shots_are_promised_after_the_holdout(train: Path, catalogue: Catalogue) -> None:
    assert len(prepared(train, catalogue, shots=8).train) == 20
    with pytest.raises(DataError, match="fewer than 9 rows"):
        prepared(train, catalogue, shots=9, holdout=0.2, near_duplicate=1.0)


def test_a_test_file_without_the_columns_is_refused(
    tmp_path: Path, train: Path, catalogue: Catalogue
) -> None:
    test = write(tmp_path, "test.csv", "utterance,intents\na,card\n")
    with pytest.raises(DataError, match=r"test\.csv: no column 'intent'") as caught:
        prepared(train, catalogue, test=test)
    assert caught.value.hint == "did you mean 'intents'?"


def test_labels_that_only_the_test_file_has_are_named(
    tmp_path: Path, train: Path, catalogue: Catalogue
) -> None:
    test = write(tmp_path, "test.csv", "utterance,intent\na,loan\nb,fee\n")
    with pytest.raises(DataError, match=r"'fee', 'loan'") as caught:
        prepared(train, catalogue, test=test)
    assert caught.value.path == test


def test_one_class_is_refused(tmp_path: Path, catalogue: Catalogue) -> None:
    path = write(tmp_path, "one.csv", "text,label\na,x\nb,x\n")
    with pytest.raises(DataError, match=r"one\.csv: only one class") as caught:
        prepared(Path(path), catalogue)
    assert caught.value.exit_code == 2
    assert f"ahl data check {path}" in caught.value.hint


def test_several_labels(tmp_path: Path, catalogue: Catalogue) -> None:
    path = write(tmp_path, "tags.csv", "text,tags\na,x|y\nb,\nc,y\n")
    section = DataSection(train=path, multi_label=True, label_separator="|")
    assert load(section, catalogue).train.labels == (("x", "y"), (), ("y",))
    assert prepare(section, catalogue).train.multi_label
