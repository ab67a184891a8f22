"""Intervals: repeatable, in line with theory, defined at the edges."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from adapterhub_lite.evaluation import mean_interval
from adapterhub_lite.evaluation.intervals import bootstrap_interval

Counts = NDArray[np.intp]
VALUES = st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=2, max_size=30)


@settings(max_examples=100)
@given(VALUES)
def test_the_mean_over_seeds_has_students_interval(values: list[float]) -> None:
    mean, interval = mean_interval(values)
    assert mean == pytest.approx(np.mean(values), abs=1e-9)
    assert interval is not None
    scale = stats.sem(values)
    if scale < 1e-9:
        assert interval == pytest.approx((mean, mean), abs=1e-6)
        return
    expected = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=scale)
    assert interval == pytest.approx(expected, rel=1e-6, abs=1e-9)


def share_of(values: NDArray[Any]) -> Callable[[Counts], float]:
    return lambda counts: float(counts @ values / counts.sum())


def test_one_seed_has_a_mean_and_no_interval() -> None:
    assert mean_interval([0.5]) == (0.5, None)


def test_equal_seeds_have_an_interval_of_no_width() -> None:
    mean, interval = mean_interval([0.75, 0.75, 0.75])
    assert interval == (mean, mean) == (0.75, 0.75)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(20, 200), st.floats(0.2, 0.9))
def test_the_bootstrap_holds_the_accuracy_and_is_about_as_wide_as_theory(
    seed: int, rows: int, share: float
) -> None:
    hits = np.zeros(rows, dtype=bool)
    hits[: round(share * rows)] = True
    np.random.default_rng(seed).shuffle(hits)
    value = hits.mean()
    interval = bootstrap_interval(share_of(hits), rows)
    assert interval is not None
    low, high = interval
    assert 0.0 <= low <= value <= high <= 1.0
    width = 2 * 1.96 * np.sqrt(value * (1 - value) / rows)
    assert 0.6 * width < high - low < 1.4 * width


def test_the_bootstrap_is_repeatable_and_follows_its_seed() -> None:
    measure = share_of(np.random.default_rng(1).random(50))
    assert bootstrap_interval(measure, 50) == bootstrap_interval(measure, 50)
    assert bootstrap_interval(measure, 50, seed=1) != bootstrap_interval(measure, 50, seed=2)


def test_all_right_and_one_row_have_no_width() -> None:
    assert bootstrap_interval(share_of(np.ones(30)), 30) == (1.0, 1.0)
    assert bootstrap_interval(share_of(np.full(1, 0.5)), 1) == (0.5, 0.5)


def test_every_resample_counts_as_many_rows_as_there_are() -> None:
    totals: set[int] = set()
    seen = np.zeros(7, dtype=int)

    def measure(counts: Counts) -> float:
        nonlocal seen
        totals.add(int(counts.sum()))
        seen = seen + counts
        return 0.0

    bootstrap_interval(measure, 7)
    assert totals == {7}
    assert seen.min() > 0


def test_resamples_on_which_a_metric_is_undefined_are_left_out() -> None:
    def seldom(counts: Counts) -> float:  # undefined on about a third of the resamples
        return 1.0 if counts[0] else float("nan")

    def mostly(counts: Counts) -> float:
        return 1.0 if counts[0] > 1 else float("inf")

    assert bootstrap_interval(seldom, 20) == (1.0, 1.0)
    assert bootstrap_interval(mostly, 20) is None
