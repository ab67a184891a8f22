"""Two models on the same rows: closed forms, reference values, and how often chance is taken in."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from adapterhub_lite.evaluation import RowSums, compare, mcnemar
from adapterhub_lite.scoring import Scored

Flags = NDArray[np.bool_]
COUNTS = st.integers(0, 12)


def answered(right: Flags) -> Scored:
    """Answer rows of two classes, right where it is said."""
    truth = np.tile([True, False], (len(right), 1))
    decision = np.where(right[:, None], truth, ~truth)
    return Scored(truth, decision, decision.astype(float))


def share(truth: Flags, decision: Flags, scores: Any) -> float:
    """Return the accuracy, as a plain function."""
    return float((truth == decision).all(axis=1).mean())


def _hits(truth: Flags, decision: Flags, scores: Any) -> NDArray[np.float64]:
    return np.column_stack([(truth == decision).all(axis=1), np.ones(len(truth))]).astype(float)


PREPARED = RowSums(_hits, lambda sums: float(sums[0] / sums[1]))


def pair(both: int, lost: int, gained: int, neither: int) -> tuple[Scored, Scored]:
    """Return two models by the four counts of McNemar's table."""
    first = np.repeat([True, True, False, False], [both, lost, gained, neither])
    second = np.repeat([True, False, True, False], [both, lost, gained, neither])
    return answered(first), answered(second)


@settings(max_examples=60)
@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_mcnemar_is_the_sign_test_of_the_rows_that_differ(
    both: int, lost: int, gained: int, neither: int
) -> None:
    found = mcnemar(*pair(both + 1, lost, gained, neither))
    tail = stats.binom.cdf(min(lost, gained), lost + gained, 0.5)
    assert found == pytest.approx(min(1.0, 2 * tail))


def test_mcnemar_on_a_known_table() -> None:
    """Table of statsmodels' tests, from R: [[101, 121], [59, 33]], exact p 4.4e-06."""
    assert mcnemar(*pair(101, 121, 59, 33)) == pytest.approx(4.434e-06, rel=1e-3)


def test_models_that_answer_alike_do_not_differ() -> None:
    first, second = pair(30, 0, 0, 10)
    for name in ("accuracy", "share"):
        found = compare(first, second, name, PREPARED)
        assert found is not None
        assert (found.difference, found.interval, found.p_value) == (0.0, (0.0, 0.0), 1.0)


def test_accuracy_is_compared_exactly_and_other_metrics_by_bootstrap() -> None:
    first, second = pair(40, 3, 17, 40)
    exact, drawn = (compare(first, second, name, PREPARED) for name in ("accuracy", "other"))
    assert exact is not None
    assert drawn is not None
    assert (exact.test, drawn.test) == ("McNemar, exact", "paired bootstrap")
    assert exact.p_value == mcnemar(first, second)
    assert (drawn.first, drawn.second) == (0.43, 0.57)
    assert drawn.difference == pytest.approx(0.14)
    assert exact.interval == drawn.interval


def test_the_bootstrap_agrees_with_theory_where_there_is_one() -> None:
    """A mean of paired differences: the z test's p-value and interval, within resampling error."""
    found = compare(*pair(300, 40, 70, 90), "other", PREPARED)
    assert found is not None
    rows, difference = 500, 30 / 500
    error = np.sqrt((110 / rows - difference**2) / rows)
    p_value = 2 * stats.norm.sf(difference / error)
    assert found.p_value == pytest.approx(p_value, abs=0.006)
    expected = (difference - 1.96 * error, difference + 1.96 * error)
    assert found.interval == pytest.approx(expected, abs=0.008)


def test_a_plain_function_gives_what_a_prepared_one_gives_and_the_order_only_the_sign() -> None:
    first, second = pair(20, 5, 9, 6)
    found, same = compare(first, second, "x", PREPARED), compare(first, second, "x", share)
    assert found == same
    back = compare(second, first, "x", PREPARED)
    assert found is not None
    assert back is not None
    assert back.difference == -found.difference
    assert back.interval == pytest.approx((-found.interval[1], -found.interval[0]))
    assert back.p_value == found.p_value


def test_no_p_value_is_0() -> None:
    found = compare(*pair(0, 0, 200, 0), "other", PREPARED)
    assert found is not None
    assert 0 < found.p_value < 0.01


def test_a_metric_that_is_undefined_is_not_compared() -> None:
    def undefined(truth: Flags, decision: Flags, scores: Any) -> float:
        return float("nan")

    assert compare(*pair(3, 3, 3, 3), "undefined", undefined) is None


def test_chance_is_taken_for_a_difference_as_often_as_promised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Equal models, 300 times: about one p-value in twenty is below 0.05, exact ones fewer."""
    monkeypatch.setattr("adapterhub_lite.evaluation.significance.RESAMPLES", 300)
    rng = np.random.default_rng(0)
    drawn, exact = [], []
    for seed in range(300):
        first, second = (answered(rng.random(120) < 0.7) for _ in range(2))
        found = compare(first, second, "other", PREPARED, seed=seed)
        assert found is not None
        drawn.append(found.p_value)
        exact.append(mcnemar(first, second))
    assert 0.02 <= np.mean(np.array(drawn) < 0.05) <= 0.08
    assert np.mean(np.array(exact) < 0.05) <= 0.05
