"""What a check finds."""

import json

import pytest

from adapterhub_lite.data.checks import check
from adapterhub_lite.data.report import Finding, Row
from adapterhub_lite.data.table import TextSet


def rows_of(*pairs: tuple[str, str], multi_label: bool = False) -> TextSet:
    labels = tuple(tuple(label.split()) for _, label in pairs)
    return TextSet(tuple(text for text, _ in pairs), labels, multi_label)


def findings(train: TextSet, test: TextSet | None = None, **options: float) -> dict[str, Finding]:
    found = check(train, test, **options).findings
    return {f"{finding.where}: {finding.reason}": finding for finding in found}


FINE = rows_of(
    ("where is my card", "card"),
    ("my card is lost", "card"),
    ("send money abroad", "transfer"),
    ("the transfer failed", "transfer"),
)


def with_rows(*pairs: tuple[str, str]) -> TextSet:
    more = rows_of(*pairs)
    return TextSet(FINE.texts + more.texts, FINE.labels + more.labels)


def test_fine_rows_raise_no_finding() -> None:
    report = check(FINE, rows_of(("is my money safe", "transfer")))
    assert report.findings == ()
    assert report.trainable
    assert report.train.classes == {"card": 2, "transfer": 2}
    assert (report.train.rows, report.train.usable, report.train.normalised) == (4, 4, 0)


def test_flaws_are_counted_with_their_rows() -> None:
    found = findings(
        with_rows(("", "card"), ("hello", ""), ("MY card is lost", "card"), ("x", "a"), ("X ", "b"))
    )
    assert found["train: empty text"].examples == ((Row(5, "", ("card",)),),)
    assert found["train: missing label"].examples == ((Row(6, "hello", ()),),)
    assert found["train: exact duplicate"].count == 1
    assert [row.row for row in found["train: exact duplicate"].examples[0]] == [2, 7]
    assert found["train: conflicting labels"].count == 2
    assert found["train: conflicting labels"].examples == (
        (Row(8, "x", ("a",)), Row(9, "X", ("b",))),
    )


def test_examples_are_few_and_short() -> None:
    found = findings(with_rows(*((f"{'long ' * 50}{n // 9}", "card") for n in range(90))))
    cases = found["train: exact duplicate"].examples
    assert len(cases) == 3
    assert all(len(case) == 3 and len(case[0].text) == 80 for case in cases)


def test_near_duplicates_are_found_among_the_rows_that_are_left() -> None:
    # Row 1 is dropped, so that places among the usable rows differ from row numbers.
    rows = rows_of(("", "a"), ("one two three", "a"), ("three, two: one!", "b"), ("four", "b"))
    found = findings(rows)
    near = found["train: near-duplicates"]
    assert near.count == 2
    assert [row.row for row in near.examples[0]] == [2, 3]
    assert found["train: near-duplicates with different labels"].count == 2


def test_a_chain_is_one_group_but_suspects_are_direct_neighbours() -> None:
    chain = rows_of(("a b c d", "x"), ("a b c d e", "x"), ("a b c d e f", "y"), ("z", "y"))
    found = findings(chain, near_duplicate=0.8)
    assert found["train: near-duplicates"].count == 3
    suspects = found["train: near-duplicates with different labels"]
    assert suspects.count == 2
    assert [row.row for row in suspects.examples[0]] == [2, 3]


def test_near_duplicates_with_equal_labels_are_no_suspects() -> None:
    found = findings(with_rows(("lost is my card", "card")))
    assert "train: near-duplicates" in found
    assert "train: near-duplicates with different labels" not in found


def test_classes_that_are_small_or_spelt_twice() -> None:
    rows = with_rows(*((f"text {number}", "big") for number in range(20)), ("odd", "Card"))
    found = findings(rows)
    assert found["train: imbalance"].detail == "'big' has 20 rows, 'Card' has 1: 20 to 1"
    assert found["train: classes of a single row"].labels == ("Card",)
    assert found["train: labels spelt in several ways"].labels == ("Card", "card")


def test_very_long_texts() -> None:
    found = findings(with_rows(("word " * 351, "card")), rows_of(("word " * 400, "card")))
    assert found["train: very long texts"].count == 1
    assert found["test: very long texts"].count == 1


def test_test_rows_are_compared_with_training_rows() -> None:
    test = rows_of(
        ("", "card"), ("Where is my card?", "card"), ("new", "loan"), ("newer", "mortgage")
    )
    report = check(FINE, test)
    found = findings(FINE, test)
    leak = found["test: near-duplicates of training rows"]
    assert [row.row for row in leak.examples[0]] == [2]
    unseen = found["test: labels that training does not know"]
    assert unseen.labels == ("loan", "mortgage")
    assert unseen.count == 2
    assert report.errors == (unseen,)
    assert report.test is not None
    assert (report.test.rows, report.test.usable) == (4, 3)


def test_a_label_of_dropped_training_rows_only_is_not_known() -> None:
    train = with_rows(("", "loan"))
    assert not check(train, rows_of(("a loan", "loan"))).trainable


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (rows_of(("", "a"), ("b", "")), "no usable rows"),
        (rows_of(("a", "x"), ("b", "x")), "only one class"),
        (rows_of(("a", ""), ("b", ""), multi_label=True), "no labels"),
        (rows_of(("a", "x y"), ("b", "x y"), multi_label=True), "no contrast"),
    ],
)
def test_what_cannot_be_trained_on(rows: TextSet, reason: str) -> None:
    report = check(rows)
    assert [finding.reason for finding in report.errors] == [reason]
    assert not report.trainable


def test_test_rows_without_a_usable_one() -> None:
    report = check(FINE, rows_of(("", "card")))
    assert [(e.where, e.reason) for e in report.errors] == [("test", "no usable rows")]


def test_one_label_that_some_rows_lack_can_be_learnt() -> None:
    assert check(rows_of(("a", "x"), ("b", ""), multi_label=True)).trainable


def test_the_report_is_json() -> None:
    report = check(with_rows(("", "card")), rows_of(("new", "loan")))
    value = json.loads(json.dumps(report.to_json()))
    assert value["trainable"] is False
    assert value["train"]["words"]["longest"] == 4
    assert value["findings"][0]["examples"][0][0] == {"row": 5, "text": "", "labels": ["card"]}
