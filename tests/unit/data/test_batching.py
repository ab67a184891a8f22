"""Rows of similar length go through a model together."""

from adapterhub_lite.data.batching import batches_by_length


def test_batches_are_similar_in_length_and_within_the_budget() -> None:
    lengths = (5, 1, 9, 1, 5, 100)
    batches = list(batches_by_length(lengths, 12))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert longest * len(batch) <= 12 or len(batch) == 1
    assert sorted(i for batch in batches for i in batch) == list(range(6))


def test_equal_batches_pad_nothing() -> None:
    lengths = (3, 2, 3, 2, 2, 7)
    batches = list(batches_by_length(lengths, equal=True))
    assert [{lengths[i] for i in batch} for batch in batches] == [{2}, {3}, {7}]
