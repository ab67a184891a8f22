"""How the engine chooses between frozen and fine-tuned, and on which rows."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite_setfit import ContrastiveParams
from adapterhub_lite_setfit.fast import FINE_TUNED, FROZEN, decide
from adapterhub_lite_setfit.selection import (
    DEFAULT_C,
    Candidate,
    Problem,
    Score,
    choose_frozen,
    folds,
)
from adapterhub_lite_setfit.tuning import can_train, checkpoints

SINGLE = st.lists(st.sampled_from("abcd").map(lambda name: (name,)), max_size=40)
MULTIPLE = st.lists(st.sets(st.sampled_from("abc")).map(lambda s: tuple(sorted(s))), max_size=30)


@given(SINGLE | MULTIPLE, st.integers(2, 6), st.integers(0, 5))
def test_folds_hold_each_row_out_at_most_once(
    labels: list[tuple[str, ...]], count: int, seed: int
) -> None:
    split = folds(labels, count, seed)
    assert len(split) <= count
    held = Counter(int(row) for _, part in split for row in part)
    assert all(times == 1 for times in held.values())
    for train, part in split:
        assert len(part)
        assert not set(train) & set(part)
        assert set(train) | set(part) == set(range(len(labels)))


@given(SINGLE, st.integers(0, 5))
def test_what_is_held_out_was_learnt_from_other_rows(
    labels: list[tuple[str, ...]], seed: int
) -> None:
    for train, part in folds(labels, 4, seed):
        assert {labels[i] for i in part} <= {labels[i] for i in train}


@pytest.mark.parametrize(
    "labels",
    [[], [("a",)], [("a",), ("b",)], [("a",)] * 5, [("a",), ("b",), ("c",)]],
)
def test_too_few_rows_give_no_folds_and_the_default(labels: list[tuple[str, ...]]) -> None:
    assert folds(labels, 4, 0) == []
    problem = Problem(tuple(labels), False, ContrastiveParams())
    assert choose_frozen(np.zeros((len(labels), 2)), problem, 0) == Candidate(0, DEFAULT_C, None)


def candidates(both: int, only_frozen: int, only_tuned: int, neither: int) -> list[Candidate]:
    """Return the frozen and the fine-tuned candidate, by how many rows which of them had right."""
    counts = (both, only_frozen, only_tuned, neither)
    right = {0: (1, 1, 0, 0), 10: (1, 0, 1, 0)}
    return [
        Candidate(
            steps, 1.0, Score(np.repeat(np.array(pattern, float), counts), np.zeros(sum(counts)))
        )
        for steps, pattern in right.items()
    ]


@pytest.mark.parametrize(
    ("counts", "rows", "kept", "says"),
    [
        ((10, 0, 4, 2), 16, FINE_TUNED, "clearly better"),
        ((10, 0, 3, 3), 16, FROZEN, "not clearly"),
        ((10, 1, 1, 4), 16, FROZEN, "did not beat"),
        ((240, 10, 25, 33), 616, FINE_TUNED, "clearly better"),
        ((240, 20, 25, 23), 616, FINE_TUNED, "not clearly"),
        ((240, 25, 20, 23), 616, FINE_TUNED, "did not beat"),
        ((240, 25, 10, 33), 616, FROZEN, "clearly worse"),
    ],
)
def test_the_size_of_the_data_decides_unless_validation_is_clear(
    counts: tuple[int, int, int, int], rows: int, kept: str, says: str
) -> None:
    frozen, tuned = candidates(*counts)
    chosen, reason = decide(frozen, tuned, rows)
    assert chosen == kept
    assert says in reason
    assert f"{sum(counts)} held-out rows" in reason


def test_without_validation_the_fine_tuned_encoder_is_kept() -> None:
    assert decide(Candidate(0, 1.0, None), None, 100)[0] == FINE_TUNED


def test_a_pair_of_one_label_is_needed_to_train() -> None:
    assert can_train([("a",), ("b",), ("a",)])
    assert can_train([("a", "b"), ("b", "c")])
    assert not can_train([("a",), ("b",), ("c",)])
    assert not can_train([(), ()])


@pytest.mark.parametrize(
    ("steps", "expected"), [(50, [25, 50]), (3, [2, 3]), (1, [1]), (2, [1, 2])]
)
def test_checkpoints_end_with_the_last_step(steps: int, expected: list[int]) -> None:
    assert list(checkpoints(steps)) == expected
