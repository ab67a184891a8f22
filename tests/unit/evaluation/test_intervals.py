"""Intervals: repeatable, in line with theory, defined at the edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from adapterhub_lite.evaluation import mean_interval
from adapterhub_lite.evaluation.intervals import bootstrap_interval

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
    low, high = bootstrap_interval(lambda chosen: float(hits[chosen].mean()), rows)
    assert 0.0 <= low <= value <= high <= 1.0
    width = 2 * 1.96 * np.sqrt(value * (1 - value) / rows)
    assert 0.6 * width < high - low < 1.4 * width


def test_the_bootstrap_is_repeatable_and_follows_its_seed() -> None:
    values = np.random.default_rng(1).random(50)

    def metric(chosen: NDArray[np.intp]) -> float:
        return float(values[chosen].mean())

    assert bootstrap_interval(metric, 50) == bootstrap_interval(metric, 50)
    assert bootstrap_interval(metric, 50, seed=1) != bootstrap_interval(metric, 50, seed=2)


def test_all_right_and_one_row_have_no_width() -> None:
    hits = np.ones(30)
    assert bootstrap_interval(lambda chosen: float(hits[chosen].mean()), 30) == (1.0, 1.0)
    assert bootstrap_interval(lambda chosen: float(hits[chosen].mean() / 2), 1) == (0.5, 0.5)


def test_every_resample_has_as_many_rows_as_there_are() -> None:
    sizes: set[int] = set()
    seen: set[int] = set()

    def metric(chosen: NDArray[np.intp]) -> float:
        sizes.add(len(chosen))
        seen.update(chosen.tolist())
        return 0.0

    bootstrap_interval(metric, 7)
    assert sizes == {7}
    assert seen == set(range(7))
