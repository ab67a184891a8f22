"""A few rows of each class."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.data.shots import sample_shots
from adapterhub_lite.data.table import TextSet
from adapterhub_lite.errors import DataError


def single(**counts: int) -> TextSet:
    pairs = [(f"{label} {number}", label) for label, n in counts.items() for number in range(n)]
    return TextSet(tuple(text for text, _ in pairs), tuple((label,) for _, label in pairs))


ROWS = single(a=30, b=20, c=5)


def texts_of(rows: TextSet, label: str) -> set[str]:
    return {text for text, own in zip(rows.texts, rows.labels, strict=True) if label in own}


@given(st.integers(1, 5), st.integers(0, 2**32))
def test_each_class_has_exactly_its_shots(shots: int, seed: int) -> None:
    sample = sample_shots(ROWS, shots, seed)
    assert Counter(sample.labels) == {("a",): shots, ("b",): shots, ("c",): shots}
    assert len(set(sample.texts)) == len(sample)


@given(st.permutations(range(len(ROWS))), st.integers(0, 9))
def test_the_order_of_rows_does_not_matter(order: list[int], seed: int) -> None:
    assert sample_shots(ROWS.select(order), 3, seed) == sample_shots(ROWS, 3, seed)


def test_other_classes_do_not_matter() -> None:
    fewer = sample_shots(single(a=30), 4, 7)
    assert texts_of(sample_shots(ROWS, 4, 7), "a") == set(fewer.texts)


def test_more_shots_extend_fewer_and_seeds_differ() -> None:
    assert set(sample_shots(ROWS, 3, 1).texts) < set(sample_shots(ROWS, 5, 1).texts)
    assert sample_shots(ROWS, 3, 1) != sample_shots(ROWS, 3, 2)


def test_classes_with_too_few_rows_are_named() -> None:
    with pytest.raises(DataError, match=r"fewer than 6 rows of: d \(2\), c \(5\)$") as caught:
        sample_shots(single(a=30, c=5, d=2), 6, 0)
    assert "--shots to 2" in caught.value.hint


def test_many_of_them_are_counted() -> None:
    with pytest.raises(DataError, match="and 12 more"):
        sample_shots(single(**{f"c{number:02}": 1 for number in range(20)}), 2, 0)


MULTI = st.lists(st.sets(st.sampled_from("abc")), min_size=1, max_size=40).map(
    lambda sets: TextSet(
        tuple(f"text {number}" for number in range(len(sets))),
        tuple(tuple(sorted(labels)) for labels in sets),
        multi_label=True,
    )
)


@given(MULTI, st.integers(1, 4), st.integers(0, 9))
def test_each_of_several_labels_has_its_shots_at_least(
    rows: TextSet, shots: int, seed: int
) -> None:
    counts = Counter(label for labels in rows.labels for label in labels)
    if min(counts.values(), default=shots) < shots:
        with pytest.raises(DataError, match="fewer than"):
            sample_shots(rows, shots, seed)
        return
    sample = sample_shots(rows, shots, seed)
    assert all(len(texts_of(sample, label)) >= shots for label in counts)
    assert sample.labels.count(()) == min(shots, rows.labels.count(()))
    assert len(sample) <= shots * (len(counts) + 1)
    assert len(set(sample.texts)) == len(sample)
    assert sample_shots(rows.select(range(len(rows))[::-1]), shots, seed) == sample
