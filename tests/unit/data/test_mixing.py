"""Several training files, replay, validation rows, pairs: what ``prepare`` makes of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.columns import Columns
from adapterhub_lite.data.duplicates import similarity, words
from adapterhub_lite.data.hashing import fingerprint
from adapterhub_lite.data.prepare import PreparedData, prepare
from adapterhub_lite.data.table import TextSet
from adapterhub_lite.errors import DataError, RecipeError
from adapterhub_lite.recipes import validate
from adapterhub_lite.recipes.data import DataSection

Write = Callable[..., str]
Row = dict[str, Any]


def documents(name: str, count: int) -> list[Row]:
    return [{"text": f"{name}{n} is word{n} of many{n}", "score": n} for n in range(count)]


def labelled(name: str, count: int) -> list[Row]:
    return [{"text": f"{name}{n} word{n} of{n}", "label": ("x", "y")[n % 2]} for n in range(count)]


@pytest.fixture
def prepared(catalogue: Catalogue) -> Callable[..., PreparedData]:
    def run(rows: Any = "document", pairs: bool = False, **section: Any) -> PreparedData:
        return prepare(DataSection(**section), catalogue, rows=rows, pairs=pairs)

    return run


Prepared = Callable[..., PreparedData]


def test_one_file_has_no_sources(write: Write, prepared: Prepared) -> None:
    data = prepared(train=write("a.jsonl", *documents("a", 4)))
    assert (data.sources, data.tests, data.validation, data.test) == ((), {}, None, None)
    assert data.columns.as_dict() == {"text": "text"}
    assert data.report.rows == "document"


def test_files_are_mixed_and_each_row_keeps_its_source(write: Write, prepared: Prepared) -> None:
    one = write("one.jsonl", *documents("a", 4), {"text": ""})
    two = write("two.jsonl", *documents("b", 2))
    data = prepared(train=[one, two])
    assert data.sources == ("one",) * 4 + ("two",) * 2
    assert data.train.keys[4].startswith("b0")
    assert data.removed["train"] == {"empty text": 1}
    assert prepared(train={"one": one, "two": two}) == data


def test_each_file_may_have_test_rows(write: Write, prepared: Prepared) -> None:
    train = {name: write(f"{name}.jsonl", *documents(name, 4)) for name in "ab"}
    test = {name: write(f"{name}-test.jsonl", *documents(f"t{name}", 2)) for name in "ba"}
    data = prepared(train=train, test=test)
    assert data.test is not None
    assert {name: rows.keys[0][:3] for name, rows in data.tests.items()} == {"a": "ta0", "b": "tb0"}
    assert len(data.test) == 4
    assert data.test_from == "file"
    assert data.report.test is not None
    assert data.report.test.sources == {"a": 2, "b": 2}


def test_held_out_rows_come_from_every_file(write: Write, prepared: Prepared) -> None:
    train = {"a": write("a.jsonl", *documents("a", 20)), "b": write("b.jsonl", *documents("b", 10))}
    data = prepared(train=train, holdout=0.2, validation_split=0.25)
    assert {name: len(rows) for name, rows in data.tests.items()} == {"a": 4, "b": 2}
    assert data.validation is not None
    assert len(data.validation) == 6
    assert [data.sources.count(name) for name in "ab"] == [12, 6]
    assert set(data.fingerprints) == {"train", "validation", "test"}
    assert data.fingerprints["validation"] == fingerprint(data.validation)


def test_validation_rows_are_read_like_training_rows(write: Write, prepared: Prepared) -> None:
    train = write("a.jsonl", *({"body": row["text"]} for row in documents("a", 4)))
    held = write("v.jsonl", {"text": "x", "body": "b1"}, {"text": "x", "body": ""})
    data = prepared(train=train, validation=held)
    assert data.validation is not None
    assert data.validation.keys == ("b1",)
    assert data.removed["validation"] == {"empty text": 1}


def test_replay_adds_its_share_and_nothing_held_out(write: Write, prepared: Prepared) -> None:
    old = [*documents("old", 30), documents("a", 1)[0], {"text": "kept for testing only"}]
    test = write("t.jsonl", {"text": "kept for testing only"})
    section = {"train": write("a.jsonl", *documents("a", 18)), "test": test}
    data = prepared(**section, replay=write("old.jsonl", *old), replay_share=0.1)
    assert data.sources == ("a",) * 18 + ("replay",) * 2
    assert all(key.startswith("old") for key in data.train.keys[18:])
    assert data.removed["replay"] == {
        "exact duplicate of a training row": 1,
        "near-duplicate of a held-out row": 1,
    }
    backwards = prepared(**section, replay=write("back.jsonl", *old[::-1]), replay_share=0.1)
    assert backwards.fingerprints == data.fingerprints
    few = prepared(**section, replay=write("few.jsonl", *documents("few", 1)), replay_share=0.5)
    assert few.sources.count("replay") == 1


def test_replay_of_what_is_known_is_refused(write: Write, prepared: Prepared) -> None:
    train = write("a.jsonl", *documents("a", 4))
    with pytest.raises(DataError, match="no row of 'replay' is usable and new"):
        prepared(train=train, replay=train)


def test_labels_of_replayed_rows_may_be_tested(write: Write, prepared: Prepared) -> None:
    train = write("a.jsonl", *labelled("a", 8))
    old = write("old.jsonl", *({"text": f"o{n}", "label": "z"} for n in range(4)))
    test = write("t.jsonl", {"text": "q", "label": "z"})
    section = {"train": train, "test": {"replay": test}, "replay": old}
    data = prepared("labelled-text", **section)
    assert data.train.classes == ("x", "y", "z")
    assert list(data.tests) == ["replay"]


def test_extras_stay_beside_their_rows(write: Write, prepared: Prepared) -> None:
    rows = [*documents("a", 5), {"text": "", "score": 9}]
    held = write("t.jsonl", {"text": "no score here"})
    data = prepared(train=write("a.jsonl", *rows), test=held, extras=["score"])
    assert data.train.extras == {"score": (0.0, 1.0, 2.0, 3.0, 4.0)}
    texts = write("b.jsonl", *({**row, "score": "1"} for row in labelled("b", 4)))
    data = prepared("labelled-text", train=texts, extras=["score"])
    assert data.train.extras == {"score": (1.0,) * 4}


def test_pairs_are_found_by_name_or_told(write: Write, prepared: Prepared) -> None:
    rows = [{"premise": f"a{n}", "hypothesis": f"b{n}", "label": n % 2} for n in range(4)]
    file = write("a.jsonl", *rows)
    data = prepared("labelled-text", pairs=True, train=file)
    assert data.columns == Columns("premise", "label", "hypothesis")
    assert isinstance(data.train, TextSet)
    assert data.train.seconds == ("b0", "b1", "b2", "b3")
    assert data.train.inputs[0] == ("a0", "b0")
    told = {"text": "premise", "text2": "hypothesis"}
    assert prepared("labelled-text", pairs=True, train=file, **told) == data
    with pytest.raises(RecipeError, match="reads one text"):
        prepared("labelled-text", train=file, **told)


def test_a_pair_without_its_second_text_is_dropped(write: Write, prepared: Prepared) -> None:
    rows = [{"text1": "a", "text2": x, "label": y} for x, y in (("b", 0), ("", 0), ("c", 1))]
    data = prepared("labelled-text", pairs=True, train=write("a.jsonl", *rows))
    assert data.removed["train"] == {"empty text": 1}
    assert data.train.keys == ("a\nb", "a\nc")


def test_files_that_do_not_fit_together_are_refused(write: Write, prepared: Prepared) -> None:
    one = write("one.jsonl", {"anchor": "a", "positive": "b", "value": 1})
    two = write("two.jsonl", {"anchor": "a", "positive": "b"})
    with pytest.raises(DataError, match=r"two\.jsonl: rows with no value, and 'one'"):
        prepared("similar-texts", train=[one, two])
    with pytest.raises(DataError, match=r"two\.jsonl: no column 'value'"):
        prepared("similar-texts", train=one, test=two)


def test_untrainable_rows_name_the_command_that_shows_them(
    write: Write, prepared: Prepared
) -> None:
    file = write("a.jsonl", {"x": ["a"], "tags": ["O"]})
    with pytest.raises(DataError, match="only one tag") as caught:
        prepared("tagged-words", train=file, columns={"words": "x"})
    assert caught.value.path == file
    assert caught.value.hint == (f"see: ahl data check {file} --rows tagged-words --column words=x")


def test_imbalance_is_about_the_rows_that_are_trained_on(write: Write, prepared: Prepared) -> None:

    rows = [{"text": f"w{n} v{n}", "label": "x"} for n in range(22)]
    rows += [{"text": f"y{n} z{n}", "label": "y"} for n in range(2)]
    section = {"train": write("a.jsonl", *rows)}
    whole = prepared("labelled-text", **section)
    held = prepared("labelled-text", **section, holdout=0.5)
    details = [
        next(f.detail for f in data.report.findings if f.reason == "imbalance")
        for data in (whole, held)
    ]
    assert details == [
        "'x' has 22 rows, 'y' has 2: 11 to 1",
        "'x' has 11 rows, 'y' has 1: 11 to 1",
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": ["a/x.csv", "b/x.csv"]}, "two training files have one name"),
        ({"train": {"replay": "a"}, "replay": "b"}, "no training file can be called"),
        ({"train": "a.csv", "test": {"b": "b.csv"}}, "test rows 'b' have no training rows"),
        ({"train": ["a", "b"], "shots": 8}, "one training file"),
        ({"train": "a", "replay": "b", "shots": 8}, "one training file"),
        ({"train": "a", "scale": [5, 0]}, r"\[lowest, highest\]"),
        ({"train": "a", "validation": "v", "validation_split": 0.1}, "not both"),
        ({"train": []}, "at least 1 item"),
        ({"train": {}}, "at least 1 item"),
        ({"train": ""}, "at least 1 character"),
    ],
)
def test_sections_that_make_no_sense_are_refused(values: Row, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        validate(DataSection, values, where="data")


TEXTS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6).map(" ".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(TEXTS, min_size=4, max_size=20), st.floats(0.1, 0.6), st.floats(0.1, 0.6))
def test_near_duplicates_are_never_parted_and_no_row_is_lost(
    tmp_path: Path, catalogue: Catalogue, texts: list[str], holdout: float, validation: float
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("source,target\n" + "".join(f"{text},t{n}\n" for n, text in enumerate(texts)))
    section = DataSection(
        train=str(path), holdout=holdout, validation_split=validation, near_duplicate=0.6
    )
    try:
        data = prepare(section, catalogue, rows="source-target")
    except DataError:
        return  # nothing could be held out
    assert data.test is not None
    assert data.validation is not None
    sides = [data.train, data.validation, data.test]
    assert sorted(key for side in sides for key in side.keys) == sorted(texts)
    for first in range(3):
        for second in range(first):
            for a in sides[first].keys:
                for b in sides[second].keys:
                    assert similarity(words(a), words(b)) < 0.6
