"""``ahl predict``: answers in any form, nothing half-written."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ask = Callable[..., Any]
TEXTS = ["abc", "some words", "a text that is rather long"]

pytestmark = pytest.mark.usefixtures("here")


def test_a_line_a_text_for_a_person(predicted: Ask) -> None:
    done = predicted(*TEXTS)
    lines = [line.split("\t") for line in done.out.splitlines()]
    assert lines == [
        ["tiny", "tiny 0.44  short 0.31  long 0.25", "abc"],
        ["short", "short 0.75  long 0.12  tiny 0.12", "some words"],
        ["long", "long 0.62  short 0.25  tiny 0.12", "a text that is rather long"],
    ]
    assert done.err == ""


def test_a_long_text_is_cut_for_a_person_only(predicted: Ask) -> None:
    text = "word " * 100
    assert len(predicted(text).out) < 150
    assert json.loads(predicted(text, "--json").out)[0]["text"] == text


@pytest.mark.parametrize("text", ["two\nlines", "two\tcolumns"])
def test_a_text_cannot_break_the_table(predicted: Ask, text: str) -> None:
    (line,) = predicted(text).out.splitlines()
    assert len(line.split("\t")) == 3


def test_json_is_one_document(predicted: Ask) -> None:
    first, *_ = rows = json.loads(predicted(*TEXTS, "--format", "json").out)
    assert [row["text"] for row in rows] == TEXTS
    assert first == {
        "text": "abc",
        "label": "tiny",
        "labels": ["tiny"],
        "score": 0.4375,
        "probabilities": {"tiny": 0.4375, "short": 0.3125, "long": 0.25},
    }
    assert list(first["probabilities"]) == ["tiny", "short", "long"], "the likeliest first"
    assert json.loads(predicted(*TEXTS, "--json").out) == rows


def test_jsonl_is_a_document_a_line(predicted: Ask) -> None:
    out = predicted(*TEXTS, "--format", "jsonl").out
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows == json.loads(predicted(*TEXTS, "--json").out)


def test_csv_has_a_column_a_label_in_the_order_of_the_classes(predicted: Ask) -> None:
    awkward = 'a "quoted", comma\nand a line'
    out = predicted("abc", awkward, "--format", "csv").out
    head, *rows = csv.reader(io.StringIO(out))
    assert head == ["text", "label", "score", "p_long", "p_short", "p_tiny"]
    assert rows == [
        ["abc", "tiny", "0.4375", "0.25", "0.3125", "0.4375"],
        [awkward, "long", "0.625", "0.625", "0.25", "0.125"],
    ]


@pytest.mark.parametrize("text", ["one\rtwo", "one\ntwo", "one\r\ntwo", "ends with\r\n", "\r"])
def test_csv_keeps_line_ends_of_every_kind(predicted: Ask, here: Path, text: str) -> None:
    predicted(text, "--output", "out.csv")
    with (here / "out.csv").open(newline="") as stream:
        _, row = csv.reader(stream)
    assert row[0] == text


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_top_cuts_probabilities(predicted: Ask, form: str) -> None:
    out = predicted("abc", "--format", form, "--top", "2").out
    (row,) = json.loads(out) if form == "json" else [json.loads(out)]
    assert row["probabilities"] == {"tiny": 0.4375, "short": 0.3125}


def test_top_cuts_the_table_and_may_ask_for_more_than_there_are(predicted: Ask) -> None:
    assert predicted("abc", "--top", "1").out == "tiny\ttiny 0.44\tabc\n"
    assert "long 0.25" in predicted("abc", "--top", "9").out


def test_letters_of_any_script_are_kept(predicted: Ask) -> None:
    for form in ("json", "jsonl", "csv", "table"):
        assert "日本 é" in predicted("日本 é", "--format", form).out


def test_several_labels_or_none(predicted: Ask, scorer: Any) -> None:
    scorer.multi_label, scorer.threshold = True, 0.25
    (row,) = json.loads(predicted("abc", "--json").out)
    assert row["labels"] == ["tiny", "short", "long"]
    assert '"tiny,short,long"' in predicted("abc", "--format", "csv").out
    assert predicted("abc").out.startswith("tiny, short, long\t")
    scorer.threshold = 0.9
    (row,) = json.loads(predicted("abc", "--json").out)
    assert (row["label"], row["labels"], row["score"]) == (None, [], 0.4375)
    assert "\nabc,,0.4375," in predicted("abc", "--format", "csv").out
    assert predicted("abc").out.startswith("(none)\t")


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("out.csv", "text,label,score,p_long,p_short,p_tiny"),
        ("out.jsonl", '{"text": "abc", "label": "tiny"'),
        ("out.json", "["),
    ],
)
def test_the_ending_of_the_output_says_the_format(
    predicted: Ask, here: Path, name: str, first: str
) -> None:
    done = predicted("abc", "--output", name)
    assert done.out == ""
    assert done.err == f"wrote {name}\n"
    content = (here / name).read_text()
    assert content.startswith(first)
    assert content.endswith("\n")
    assert not content.endswith("\n\n")
    assert [path.name for path in here.iterdir()] == [name]


@pytest.mark.parametrize("name", ["out.txt", "out", "out.tsv"])
def test_an_ending_that_says_no_format_is_refused(
    ahl: Ask, predicted: Ask, here: Path, scorer: Any, name: str
) -> None:
    done = ahl("predict", "words@prod", "abc", "--output", name)
    assert done.code == 2
    assert ".csv, .jsonl or .json" in done.err
    assert scorer.asked == []
    assert list(here.iterdir()) == []
    predicted("abc", "--output", name, "--format", "table")
    assert (here / name).read_text() == "tiny\ttiny 0.44  short 0.31  long 0.25\tabc\n"


def test_a_format_that_is_given_wins_over_the_ending(predicted: Ask, here: Path) -> None:
    predicted("abc", "--output", "out.csv", "--format", "json")
    assert json.loads((here / "out.csv").read_text())[0]["label"] == "tiny"


def test_the_output_is_what_would_be_printed(predicted: Ask, here: Path) -> None:
    for form in ("csv", "json", "jsonl", "table"):
        predicted(*TEXTS, "--format", form, "--output", "out")
        assert (here / "out").read_text() == predicted(*TEXTS, "--format", form).out


def test_a_failure_leaves_the_old_output_and_nothing_beside_it(
    ahl: Ask, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "out.csv").write_text("old")

    def fail(*_: object) -> str:
        raise RuntimeError("rendering failed")

    with monkeypatch.context() as patch:
        patch.setattr("adapterhub_lite.cli.predict_output.render", fail)
        assert ahl("predict", "words@prod", "abc", "--output", "out.csv").code == 1
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        assert ahl("predict", "words@prod", "abc", "--output", "out.csv").code == 1
    assert [path.name for path in here.iterdir()] == ["out.csv"]
    assert (here / "out.csv").read_text() == "old"


def test_an_output_that_cannot_be_written(ahl: Ask, here: Path) -> None:
    done = ahl("predict", "words@prod", "abc", "--output", "no-such-folder/out.csv")
    assert done.code in (1, 2)
    assert "no-such-folder" in done.err
    (here / "folder").mkdir()
    assert ahl("predict", "words@prod", "abc", "--output", "folder").code == 2
    assert [path.name for path in here.iterdir()] == ["folder"]


def test_half_a_surrogate_pair_is_written_somehow(predicted: Ask, here: Path) -> None:
    (here / "rows.jsonl").write_text('{"text": "half \\ud800 a pair"}\n')
    predicted("--file", "rows.jsonl", "--output", "out.csv")


ROWS = [
    {"id": "a1", "text": "abc", "label": "long", "score": 1.5, "when": None},
    {"id": "a2", "text": "some words", "label": "tiny", "score": 2, "when": "today"},
]

KEPT = ["id", "input_label", "input_score", "when"]


@pytest.fixture
def rows(here: Path) -> str:
    """Write a table with columns that no answer needs, and columns that answers have too."""
    (here / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return "rows.jsonl"


def test_the_other_columns_of_a_file_come_with_the_answers(predicted: Ask, rows: str) -> None:
    out = predicted("--file", rows, "--format", "csv").out
    assert list(csv.reader(io.StringIO(out))) == [
        [*KEPT, "text", "label", "score", "p_long", "p_short", "p_tiny"],
        ["a1", "long", "1.5", "", "abc", "tiny", "0.4375", "0.25", "0.3125", "0.4375"],
        ["a2", "tiny", "2", "today", "some words", "short", "0.75", "0.125", "0.75", "0.125"],
    ]


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_json_keeps_them_as_they_are(predicted: Ask, rows: str, form: str) -> None:
    out = predicted("--file", rows, "--format", form).out
    first = json.loads(out)[0] if form == "json" else json.loads(out.splitlines()[0])
    assert list(first)[:5] == [*KEPT, "text"]
    assert (first["id"], first["input_score"], first["when"]) == ("a1", 1.5, None)
    assert first["label"] == "tiny"


def test_columns_whose_names_clash_all_stay(predicted: Ask, here: Path) -> None:
    (here / "rows.csv").write_text("text,label,input_label\nabc,mine,yours\n")
    (row,) = json.loads(predicted("--file", "rows.csv", "--json").out)
    assert (row["label"], row["input_label"], row["input_input_label"]) == ("tiny", "yours", "mine")


def test_a_person_sees_the_answers_alone(predicted: Ask, rows: str) -> None:
    assert "a1" not in predicted("--file", rows).out


def test_cells_that_json_does_not_know_are_spelt(predicted: Ask, here: Path) -> None:
    import datetime

    import pyarrow as pa
    from pyarrow import parquet

    day = datetime.date(2024, 2, 29)
    row = {"text": "abc", "day": day, "ratio": float("nan"), "parts": [float("inf"), 1.0]}
    parquet.write_table(pa.Table.from_pylist([row]), here / "rows.parquet")
    out = predicted("--file", "rows.parquet", "--json").out
    (read,) = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (read["day"], read["ratio"], read["parts"]) == ("2024-02-29", None, [None, 1.0])
