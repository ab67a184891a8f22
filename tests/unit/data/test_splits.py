"""Holding rows out."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.data.duplicates import similarity, words
from adapterhub_lite.data.splits import split
from adapterhub_lite.data.table import TextSet
from adapterhub_lite.errors import DataError

TEXTS = st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=8).map(" ".join)
LABELS = st.sampled_from([("x",), ("y",), ("z",)])
SINGLE = st.lists(st.tuples(TEXTS, LABELS), min_size=4, max_size=40)
MULTI = st.lists(
    st.tuples(TEXTS, st.sampled_from([(), ("x",), ("y",), ("x", "y")])), min_size=4, max_size=40
)


def rows_of(pairs: Sequence[tuple[str, tuple[str, ...]]], multi_label: bool) -> TextSet:
    texts = tuple(text for text, _ in pairs)
    return TextSet(texts, tuple(labels for _, labels in pairs), multi_label)


def distinct(**counts: int) -> TextSet:
    return rows_of([(f"{name}{i}", (name,)) for name, n in counts.items() for i in range(n)], False)


@given(
    SINGLE.map(lambda pairs: rows_of(pairs, False)) | MULTI.map(lambda pairs: rows_of(pairs, True)),
    st.floats(0.05, 0.95),
    st.sampled_from([0.5, 0.8, 1.0]),
    st.integers(0, 5),
)
def test_what_always_holds(rows: TextSet, holdout: float, threshold: float, seed: int) -> None:
    try:
        train, test = split(rows, holdout, seed, threshold)
    except DataError:
        return
    pairs = Counter(zip(rows.texts, rows.labels, strict=True))
    sides = [Counter(zip(side.texts, side.labels, strict=True)) for side in (train, test)]
    assert sides[0] + sides[1] == pairs
    assert train.classes == rows.classes
    assert 1 <= len(test) <= max(1, round(holdout * len(rows)))
    for first in train.texts:
        for second in test.texts:
            assert similarity(words(first), words(second)) < threshold


@given(st.floats(0.05, 0.6), st.integers(0, 50))
def test_distinct_rows_are_shared_out_exactly(holdout: float, seed: int) -> None:
    rows = distinct(a=40, b=25, c=13)
    train, test = split(rows, holdout, seed)
    assert len(test) == round(holdout * len(rows))
    counts = Counter(test.labels)
    for label, total in (("a", 40), ("b", 25), ("c", 13)):
        assert abs(counts[(label,)] - holdout * total) < 1
    assert len(train) + len(test) == len(rows)


def test_the_seed_decides_and_the_order_of_rows_does_not() -> None:
    rows = distinct(a=30, b=30)
    assert split(rows, 0.3, 1) == split(rows, 0.3, 1)
    assert split(rows, 0.3, 1)[1] != split(rows, 0.3, 2)[1]
    backwards = rows.select(range(len(rows))[::-1])
    assert set(split(backwards, 0.3, 1)[1].texts) == set(split(rows, 0.3, 1)[1].texts)


def test_a_class_too_small_for_both_sides_stays_in_training() -> None:
    train, test = split(distinct(a=20, b=1), 0.5, 0)
    assert ("b",) in train.labels
    assert ("b",) not in test.labels


def test_small_classes_share_what_is_held_out() -> None:
    rows = distinct(**{f"c{number}": 2 for number in range(20)})
    assert len(split(rows, 0.25, 0)[1]) == 10


@pytest.mark.parametrize("rows", [distinct(a=1, b=1), rows_of([("a b c", ("x",))] * 9, False)])
def test_rows_that_cannot_be_parted_are_refused(rows: TextSet) -> None:
    with pytest.raises(DataError, match="leaves no row to test on"):
        split(rows, 0.5, 0)
