"""The metrics of numbers give scipy's and scikit-learn's, whatever the rows."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as reference

from adapterhub_lite_metrics import regression as ours

Floats = NDArray[np.float64]
NUMBERS = st.lists(
    st.tuples(st.integers(-9, 9), st.floats(-1e3, 1e3, allow_subnormal=False)),
    min_size=3,
    max_size=40,
)


def arrays(pairs: list[tuple[int, float]]) -> tuple[Floats, Floats, Floats]:
    truth, decision = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
    return truth, decision, decision[:, None]


@settings(max_examples=100)
@given(NUMBERS)
def test_errors(pairs: list[tuple[int, float]]) -> None:
    rows = arrays(pairs)
    truth, decision, _ = rows
    squared = reference.mean_squared_error(truth, decision)
    assert ours.mse(*rows) == pytest.approx(squared)
    assert ours.rmse(*rows) == pytest.approx(np.sqrt(squared))
    assert ours.mae(*rows) == pytest.approx(reference.mean_absolute_error(truth, decision))
    assume(len(set(truth)) > 1)
    assert ours.r2(*rows) == pytest.approx(reference.r2_score(truth, decision))


@settings(max_examples=100)
@given(NUMBERS)
def test_correlations_with_ties(pairs: list[tuple[int, float]]) -> None:
    rows = arrays([(a, round(b)) for a, b in pairs])
    truth, decision, _ = rows
    assume(len(set(truth)) > 1 and len(set(decision)) > 1)
    assert ours.pearson(*rows) == pytest.approx(stats.pearsonr(truth, decision)[0], abs=1e-9)
    assert ours.spearman(*rows) == pytest.approx(stats.spearmanr(truth, decision)[0], abs=1e-9)


@pytest.mark.parametrize("far", [0.0, 1e9])
def test_numbers_far_from_zero_lose_no_digits(far: float) -> None:
    truth = far + np.arange(10.0)
    decision = far + np.arange(10.0) ** 2
    expected = stats.pearsonr(np.arange(10.0), np.arange(10.0) ** 2)[0]
    assert ours.pearson(truth, decision, decision) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3e8])
def test_what_does_not_vary_has_no_correlation(value: float) -> None:
    constant, varied = np.full(7, value), np.arange(7.0)
    for metric in (ours.pearson, ours.spearman):
        assert np.isnan(metric(constant, varied, varied))
        assert np.isnan(metric(varied, constant, varied))
    assert np.isnan(ours.r2(constant, varied, varied))
    assert np.isfinite(ours.rmse(constant, varied, varied))


def test_the_cosine_of_pairs_that_mean_the_same() -> None:
    cosine = np.array([0.9, 0.2, 0.7])
    assert ours.cosine_of_same(np.array([1.0, 0.0, 1.0]), cosine, cosine) == pytest.approx(0.8)
    assert np.isnan(ours.cosine_of_same(np.array([0.5, 0.0, 0.2]), cosine, cosine))
