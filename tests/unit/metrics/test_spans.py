"""Spans are read as conlleval reads them, and counted by hand here."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from adapterhub_lite_metrics import spans as ours

BIO_TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def rows(*tags: str) -> NDArray[Any]:
    array = np.empty(len(tags), dtype=object)
    array[:] = [tuple(row.split()) for row in tags]
    return array


def score(metric: Any, truth: NDArray[Any], decision: NDArray[Any]) -> float:
    return float(metric(truth, decision, truth))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-PER I-PER O B-LOC", {("PER", 0, 2), ("LOC", 3, 4)}),
        ("B-PER B-PER I-PER", {("PER", 0, 1), ("PER", 1, 3)}),
        ("I-PER I-PER O I-LOC", {("PER", 0, 2), ("LOC", 3, 4)}),  # IOB1
        ("I-PER B-PER", {("PER", 0, 1), ("PER", 1, 2)}),  # IOB1, two that touch
        ("B-PER I-LOC I-LOC", {("PER", 0, 1), ("LOC", 1, 3)}),  # a type that changes
        ("S-PER B-LOC I-LOC E-LOC S-LOC", {("PER", 0, 1), ("LOC", 1, 4), ("LOC", 4, 5)}),
        ("B-PER E-PER I-PER", {("PER", 0, 2), ("PER", 2, 3)}),
        ("U-PER B-LOC I-LOC L-LOC O", {("PER", 0, 1), ("LOC", 1, 4)}),  # BILOU
        ("B-X M-X E-X S-X", {("X", 0, 3), ("X", 3, 4)}),  # BMES
        ("PER PER O LOC PER", {("PER", 0, 2), ("LOC", 3, 4), ("PER", 4, 5)}),
        ("B I O B", {("", 0, 2), ("", 3, 4)}),
        ("B-a-b I-a-b", {("a-b", 0, 2)}),
        ("O O", set()),
        ("", set()),
    ],
)
def test_spans(tags: str, expected: set[Any]) -> None:
    assert set(ours.spans(tags.split())) == expected


def _conlleval(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Transcribe start_of_chunk and end_of_chunk of conlleval.pl, for BIO tags."""
    found, start = set(), 0
    parts = [(t[0], t[2:]) for t in ["O", *tags, "O"]]
    for place in range(1, len(parts)):
        (before, old), (tag, kind) = parts[place - 1], parts[place]
        ends = before + tag in ("BB", "BO", "IB", "IO") or (before != "O" and old != kind)
        starts = tag == "B" or before + tag == "OI" or (tag != "O" and old != kind)
        if ends:
            found.add((old, start, place - 1))
        if starts:
            start = place - 1
    return found


@settings(max_examples=200)
@given(st.lists(st.sampled_from(BIO_TAGS), max_size=12))
def test_spans_are_those_of_conlleval(tags: list[str]) -> None:
    assert set(ours.spans(tags)) == _conlleval(tags)


def test_the_example_of_seqeval() -> None:
    """seqeval's README: one of two spans is found, F1 is 0.50."""
    truth = rows("O O O B-MISC I-MISC I-MISC O", "B-PER I-PER O")
    decision = rows("O O B-MISC I-MISC I-MISC I-MISC O", "B-PER I-PER O")
    assert score(ours.span_f1, truth, decision) == 0.5
    assert score(ours.token_accuracy, truth, decision) == pytest.approx(0.8)
    assert score(ours.macro_span_f1, truth, decision) == 0.5


def test_precision_recall_and_the_average_over_types_by_hand() -> None:
    truth = rows("B-PER I-PER O B-LOC", "B-LOC O O O")
    decision = rows("B-PER I-PER O O", "B-LOC O B-PER B-ORG")
    # Right: PER 0-2 and LOC 0-1; found: two PER, one LOC, one ORG; true: one PER, two LOC.
    assert score(ours.span_precision, truth, decision) == pytest.approx(2 / 4)
    assert score(ours.span_recall, truth, decision) == pytest.approx(2 / 3)
    assert score(ours.span_f1, truth, decision) == pytest.approx(4 / 7)
    assert score(ours.macro_span_f1, truth, decision) == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)


def test_spans_that_nobody_found_score_0_and_no_spans_at_all_nothing() -> None:
    truth, nothing = rows("B-PER O"), rows("O O")
    for metric in (ours.span_f1, ours.span_precision, ours.span_recall, ours.macro_span_f1):
        assert score(metric, truth, nothing) == 0.0
        assert np.isnan(score(metric, nothing, nothing))
    assert score(ours.token_accuracy, nothing, nothing) == 1.0
