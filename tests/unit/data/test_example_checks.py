"""What a check finds in rows of one kind, and which of them are dropped."""

from collections.abc import Callable
from typing import Any

import pytest

from adapterhub_lite.data.checks import check
from adapterhub_lite.data.clean import clean
from adapterhub_lite.data.report import Finding
from adapterhub_lite.data.table import RowSet

Parse = Callable[..., RowSet]


def findings(train: RowSet, test: RowSet | None = None, **options: Any) -> dict[str, Finding]:
    found = check(train, test, **options).findings
    return {f"{finding.where}: {finding.reason}": finding for finding in found}


def tagged(*rows: str) -> list[dict[str, Any]]:
    """Make rows of "word/tag word/tag"."""
    cells = [[pair.split("/") for pair in row.split()] for row in rows]
    return [{"words": [w for w, _ in row], "tags": [t for _, t in row]} for row in cells]


@pytest.mark.parametrize(
    ("kind", "rows", "removed"),
    [
        (
            "tagged-words",
            [
                {"words": ["a"], "tags": ["X"]},
                {"words": [], "tags": []},
                {"words": ["b", "\u200b"], "tags": ["X", "X"]},
                {"words": ["a "], "tags": ["X"]},
                {"words": ["A"], "tags": ["X"]},
            ],
            {"empty text": 1, "blank word": 1, "exact duplicate": 1},
        ),
        (
            "valued-text",
            [
                {"text": "a", "value": 1},
                {"text": " ", "value": 1},
                {"text": "b", "value": None},
                {"text": "a\u00a0", "value": 1.0},
                {"text": "a", "value": 2},
            ],
            {"empty text": 1, "missing value": 1, "exact duplicate": 1},
        ),
        (
            "dialogue",
            [
                {"question": "a", "answer": "b"},
                {"question": "", "answer": None},
                {"question": "a", "answer": "b"},
                {"question": "a", "answer": "b "},
            ],
            {"empty text": 1, "exact duplicate": 1},
        ),
        (
            "source-target",
            [
                {"source": "a", "target": "b"},
                {"source": "a", "target": ""},
                {"source": None, "target": "b"},
            ],
            {"empty text": 1, "missing target": 1},
        ),
        (
            "similar-texts",
            [
                {"anchor": "a", "positive": "b", "negative": "c"},
                {"anchor": "a", "positive": "", "negative": "c"},
                {"anchor": "a", "positive": "b", "negative": None},
            ],
            {"empty text": 1},
        ),
    ],
)
def test_rows_go_by_reason(parse: Parse, kind: str, rows: Any, removed: dict[str, int]) -> None:
    given = parse(kind, *rows)
    cleaned = clean(given)
    assert cleaned.removed == removed
    assert len(cleaned.rows) == len(rows) - sum(removed.values())
    found = findings(given)
    assert {reason: found[f"train: {reason}"].count for reason in removed} == removed


def test_the_scheme_and_stray_tags_are_reported(parse: Parse) -> None:
    rows = parse("tagged-words", *tagged("a/B-X b/I-X", "c/O d/I-X", "e/I-X f/I-Y", "g/B-Y"))
    report = check(rows)
    assert report.scheme == "BIO"
    (finding,) = [f for f in report.findings if f.reason == "spans that nothing opens"]
    assert (finding.count, finding.severity) == (2, "warning")
    assert "3 tags" in finding.detail
    assert [case[0].row for case in finding.examples] == [2, 3]
    assert report.train.classes == {"B-X": 1, "I-X": 3, "I-Y": 1, "B-Y": 1, "O": 1}


def test_rare_tags_are_reported_without_counting_o(parse: Parse) -> None:
    many = [f"w{n}/B-X v{n}/O u{n}/O" for n in range(12)]
    assert "train: imbalance" not in findings(parse("tagged-words", *tagged(*many)))
    found = findings(parse("tagged-words", *tagged(*many, "a/B-Y")))
    assert "'X' has 12 words, 'Y' has 1: 12 to 1" in found["train: imbalance"].detail


@pytest.mark.parametrize(
    ("kind", "rows", "reason"),
    [
        ("tagged-words", tagged("a/O b/O", "c/O"), "only one tag"),
        ("valued-text", [{"text": "a", "value": 3}, {"text": "b", "value": 3}], "only one value"),
        ("question", [{"question": "a", "context": "b", "answer": None}], "no answers"),
        ("document", [{"text": " "}], "no usable rows"),
    ],
)
def test_what_cannot_be_trained_on(parse: Parse, kind: str, rows: Any, reason: str) -> None:
    report = check(parse(kind, *rows))
    assert not report.trainable
    assert [finding.reason for finding in report.errors] == [reason]


def test_one_text_with_several_values_is_a_warning(parse: Parse) -> None:
    rows = [{"text": text, "value": value} for text, value in (("a", 1), ("b", 2), ("a", 3))]
    finding = findings(parse("valued-text", *rows))["train: one text, several answers"]
    assert [(row.row, row.labels) for row in finding.examples[0]] == [(1, ("1",)), (3, ("3",))]


def test_a_conversation_may_go_on_in_several_ways(parse: Parse) -> None:
    rows = [{"question": "a", "answer": answer} for answer in ("b c d", "e f g")]
    assert findings(parse("dialogue", *rows)) == {}


def test_equal_texts_and_values_are_reported(parse: Parse) -> None:
    rows = [{"anchor": "a b", "positive": "A  b"}, {"anchor": "c", "positive": "d"}]
    assert findings(parse("similar-texts", *rows))["train: pairs of equal texts"].count == 1
    valued = [{"text": text, "value": value} for text, value in (("a", 1), ("b", 4))]
    values = check(parse("valued-text", *valued)).train.values
    assert values is not None
    assert (values.lowest, values.mean, values.highest) == (1, 2.5, 4)


def test_validation_and_test_rows_are_checked_against_training_rows(parse: Parse) -> None:
    train = parse("tagged-words", *tagged("a/X b/O", "c/X d/O"))
    held = parse("tagged-words", *tagged("a/X b/O", "e/Y"))
    report = check(train, held, validation=held)
    for where in ("validation", "test"):
        found = {finding.reason: finding for finding in report.findings if finding.where == where}
        assert found["labels that training does not know"].labels == ("Y",)
        assert found["near-duplicates of training rows"].count == 1
    assert report.validation is not None
    assert check(train, held, replayed=["Y"]).trainable


def test_long_rows_matter_where_a_row_is_read_whole(parse: Parse) -> None:
    text = " ".join(f"w{n}" for n in range(400))
    assert "train: very long texts" not in findings(parse("document", {"text": text}))
    rows = [{"text": text, "value": 1}, {"text": "b", "value": 2}]
    assert findings(parse("valued-text", *rows))["train: very long texts"].count == 1


def test_rows_of_several_files_are_counted_in_their_own(parse: Parse) -> None:
    rows = parse("document", {"text": "a"}, {"text": "b"}, {"text": ""})
    finding = findings(rows, sources=["one", "two", "two"])["train: empty text"]
    assert (finding.examples[0][0].source, finding.examples[0][0].row) == ("two", 2)
    assert check(rows, sources=["one", "two", "two"]).train.sources == {"one": 1, "two": 2}
