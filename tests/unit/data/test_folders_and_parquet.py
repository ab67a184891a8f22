"""Parquet files, saved data sets, and folders of texts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.reading import read_table
from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError

Refused = Callable[..., DataError]


def labelled(labels: list[int]) -> Any:
    features = datasets.Features(
        text=datasets.Value("string"),
        label=datasets.ClassLabel(names=["ham", "spam"]),
        tags=datasets.List(datasets.ClassLabel(names=["a", "b", "c"])),
    )
    texts = [f"text {number}" for number in range(len(labels))]
    columns = {"text": texts, "label": labels, "tags": [[number % 3] for number in labels]}
    return datasets.Dataset.from_dict(columns, features=features)


def labels(table: Table) -> list[object]:
    return [row["label"] for row in table.rows]


def test_parquet(tmp_path: Path, catalogue: Catalogue) -> None:
    category = pa.array(["x", "y", "x"]).dictionary_encode()
    pq.write_table(pa.table({"text": ["a", None, "c"], "label": category}), tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet", catalogue)
    assert table.rows[1] == {"text": None, "label": "y"}


def test_parquet_of_datasets_keeps_the_names_of_classes(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    labelled([1, 0, -1]).to_parquet(tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet", catalogue)
    assert labels(table) == ["spam", "ham", None]
    assert table.rows[0]["tags"] == ["b"]


def test_what_is_no_parquet_is_refused(refused: Refused) -> None:
    assert "not readable as Parquet" in refused("a.parquet", "text,label\n").message


def test_columns_of_a_parquet_file_that_occur_twice_are_refused(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(twice, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="twice: 'text'"):
        read_table(tmp_path / "a.parquet", catalogue)


def test_a_saved_data_set(tmp_path: Path, catalogue: Catalogue) -> None:
    labelled([1, 0, -1]).save_to_disk(tmp_path / "saved")
    table = read_table(tmp_path / "saved", catalogue)
    assert labels(table) == ["spam", "ham", None]
    assert table.notes == ()


def test_the_only_split_of_a_saved_data_set(tmp_path: Path, catalogue: Catalogue) -> None:
    datasets.DatasetDict(test=labelled([1])).save_to_disk(tmp_path / "saved")
    assert labels(read_table(tmp_path / "saved", catalogue)) == ["spam"]


def test_the_training_split_is_read_and_said_and_others_have_folders(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    splits = datasets.DatasetDict(test=labelled([1]), train=labelled([0, 0]))
    splits.save_to_disk(tmp_path / "saved")
    table = read_table(tmp_path / "saved", catalogue)
    assert labels(table) == ["ham", "ham"]
    assert "of the splits test, train, 'train' is read" in table.notes[0]
    assert labels(read_table(tmp_path / "saved" / "test", catalogue)) == ["spam"]


def test_splits_none_of_which_is_for_training_are_named(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    splits = datasets.DatasetDict(dev=labelled([1]), test=labelled([0]))
    splits.save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError, match="dev, test") as caught:
        read_table(tmp_path / "saved", catalogue)
    assert str(tmp_path / "saved" / "dev") in caught.value.hint


@pytest.mark.parametrize("content", ["{}", "[", '{"splits": []}'])
def test_a_broken_list_of_splits_is_refused(
    tmp_path: Path, catalogue: Catalogue, content: str
) -> None:
    (tmp_path / "dataset_dict.json").write_text(content)
    with pytest.raises(DataError, match="split"):
        read_table(tmp_path, catalogue)


@pytest.mark.parametrize("content", ["{}", "[", '{"_data_files": [{"filename": "gone.arrow"}]}'])
def test_a_broken_data_set_is_refused(tmp_path: Path, catalogue: Catalogue, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(DataError, match="not readable as a saved data set"):
        read_table(tmp_path, catalogue)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_folder_of_texts(tmp_path: Path, catalogue: Catalogue) -> None:
    write(tmp_path / "spam" / "2.txt", "buy\nnow")
    write(tmp_path / "spam" / "1.TXT", "win")
    write(tmp_path / "ham" / "1.txt", "hello")
    write(tmp_path / ".cache" / "1.txt", "hidden")
    write(tmp_path / "README.md", "about")
    table = read_table(tmp_path, catalogue)
    assert [tuple(row.values()) for row in table.rows] == [
        ("hello", "ham"),
        ("win", "spam"),
        ("buy\nnow", "spam"),
    ]
    assert table.notes == ()


def test_other_files_beside_the_texts_are_left_out_and_said(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    write(tmp_path / "spam" / "1.txt", "buy")
    write(tmp_path / "spam" / "1.html", "buy")
    assert (
        "left out, as only .txt files are read: 1 such as 1.html"
        in read_table(tmp_path, catalogue).notes[0]
    )


def test_a_text_outside_the_labels_is_refused(tmp_path: Path, catalogue: Catalogue) -> None:
    write(tmp_path / "spam" / "1.txt", "buy")
    write(tmp_path / "stray.txt", "where do I belong?")
    with pytest.raises(DataError, match=r"stray\.txt lies outside"):
        read_table(tmp_path, catalogue)


def test_the_text_that_cannot_be_decoded_is_named(tmp_path: Path, catalogue: Catalogue) -> None:
    write(tmp_path / "fr" / "1.txt", "oui")
    (tmp_path / "fr" / "2.txt").write_bytes("ça".encode("cp1252"))
    with pytest.raises(DataError, match=r"2\.txt: not utf-8"):
        read_table(tmp_path, catalogue)
