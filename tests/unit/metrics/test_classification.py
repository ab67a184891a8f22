"""The metrics of decisions and probabilities give scikit-learn's numbers, whatever the rows."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as reference

from adapterhub_lite_metrics import classification as ours
from adapterhub_lite_metrics import probabilities as likelihoods

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(2, 40)
CLASSES = st.integers(2, 6)


def single(seed: int, rows: int, classes: int) -> tuple[NDArray[np.intp], Floats]:
    """Draw true classes, the first two rows different, and probabilities."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, rows)
    true[1] = (true[0] + 1) % classes
    return true, rng.dirichlet(np.ones(classes), rows)


def one_hot(columns: NDArray[np.intp], classes: int) -> Bools:
    return np.eye(classes, dtype=bool)[columns]


@settings(max_examples=60)
@given(SEEDS, SIZES, CLASSES)
def test_with_one_label_a_row_they_are_scikit_learns(seed: int, rows: int, classes: int) -> None:
    true, probabilities = single(seed, rows, classes)
    predicted = probabilities.argmax(1)
    given_rows = one_hot(true, classes), one_hot(predicted, classes), probabilities
    labels = list(range(classes))
    macro = reference.f1_score(true, predicted, average="macro", zero_division=0)
    assert ours.accuracy(*given_rows) == pytest.approx(reference.accuracy_score(true, predicted))
    assert ours.macro_f1(*given_rows) == pytest.approx(macro)
    assert ours.micro_f1(*given_rows) == pytest.approx(ours.accuracy(*given_rows))
    assert ours.matthews(*given_rows) == pytest.approx(reference.matthews_corrcoef(true, predicted))
    assert likelihoods.log_loss(*given_rows) == pytest.approx(
        reference.log_loss(true, probabilities, labels=labels)
    )


RATES = {"precision": 0, "recall": 1, "f1": 2}


def _rates_of_labels_that_occur(truth: Bools, decision: Bools, average: str) -> list[float]:
    labels = np.flatnonzero((truth | decision).any(axis=0)).tolist()
    found = reference.precision_recall_fscore_support(
        truth, decision, labels=labels, average=average, zero_division=0
    )
    return [float(rate) for rate in found[:3]]


@settings(max_examples=60)
@given(SEEDS, SIZES, CLASSES, st.floats(0.05, 0.95))
def test_with_several_labels_a_row_they_are_scikit_learns(
    seed: int, rows: int, classes: int, threshold: float
) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random((rows, classes)) < 0.4
    probabilities = rng.random((rows, classes))
    decision = probabilities >= threshold
    assume(np.count_nonzero((truth | decision).any(axis=0)) > 1)  # see the next tests
    given_rows = truth, decision, probabilities
    assert ours.accuracy(*given_rows) == pytest.approx(reference.accuracy_score(truth, decision))
    for average in ("macro", "micro"):
        expected = _rates_of_labels_that_occur(truth, decision, average)
        for rate, place in RATES.items():
            metric = getattr(ours, f"{average}_{rate}")
            assert metric(*given_rows) == pytest.approx(expected[place])
    columns = [
        reference.log_loss(truth[:, i], probabilities[:, i], labels=[False, True])
        for i in range(classes)
    ]
    assert likelihoods.log_loss(*given_rows) == pytest.approx(np.mean(columns))


@pytest.mark.parametrize("metric", [ours.macro_f1, ours.micro_f1])
def test_where_one_label_occurs_f1_is_that_labels(metric: Callable[..., float]) -> None:
    truth = np.array([[True, False], [False, False], [False, False]])
    for decided, expected in (([1, 1, 0], 2 / 3), ([0, 1, 0], 0.0)):
        decision = np.column_stack([np.array(decided, dtype=bool), np.zeros(3, dtype=bool)])
        assert metric(truth, decision, decision * 1.0) == pytest.approx(expected)


def test_a_sure_mistake_is_costly_but_finite() -> None:
    truth, decision = one_hot(np.array([0]), 2), one_hot(np.array([1]), 2)
    loss = likelihoods.log_loss(truth, decision, np.array([[0.0, 1.0]]))
    assert loss == pytest.approx(-np.log(likelihoods.SMALLEST))


def test_perfect_predictions() -> None:
    truth = one_hot(np.array([0, 1, 2, 1]), 3)
    sure = truth.astype(float)
    for metric in (ours.accuracy, ours.macro_f1, ours.micro_f1, ours.matthews):
        assert metric(truth, truth, sure) == 1.0
    assert likelihoods.log_loss(truth, truth, sure) == pytest.approx(0.0, abs=1e-9)


def test_rows_without_any_label_count_as_right_when_none_is_predicted() -> None:
    truth = np.array([[False, False], [True, False]])
    assert ours.accuracy(truth, truth, truth * 0.9) == 1.0
    assert ours.accuracy(truth, ~truth, truth * 0.9) == 0.0


def test_matthews_needs_two_true_labels_and_is_0_for_a_constant_answer() -> None:
    truth = one_hot(np.array([1, 1]), 3)
    assert np.isnan(ours.matthews(truth, truth, truth.astype(float)))
    two, constant = one_hot(np.array([0, 1]), 2), one_hot(np.array([1, 1]), 2)
    assert ours.matthews(two, constant, constant.astype(float)) == 0.0


def test_a_label_that_nobody_has_and_nobody_predicts_is_left_out_of_averages() -> None:
    truth, decision = one_hot(np.array([0, 1, 1]), 3), one_hot(np.array([0, 1, 0]), 3)
    assert ours.macro_f1(truth, decision, decision * 1.0) == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_multi_label_log_loss_looks_at_all_labels_when_probabilities_happen_to_sum_to_one() -> None:
    truth = np.array([[True, True], [False, False]])
    probabilities = np.array([[0.75, 0.25], [0.75, 0.25]])
    expected = -np.mean([np.log(0.75), np.log(0.25), np.log(0.25), np.log(0.75)])
    assert likelihoods.log_loss(truth, probabilities >= 0.5, probabilities) == pytest.approx(
        expected
    )
    nobody = np.zeros_like(truth)
    assert np.isfinite(likelihoods.log_loss(nobody, probabilities >= 0.5, probabilities))


@pytest.mark.parametrize("name", [f"{a}_{rate}" for a in ("macro", "micro") for rate in RATES])
def test_where_no_label_occurs_there_is_no_rate(name: str) -> None:
    nobody = np.zeros((2, 3), dtype=bool)
    assert np.isnan(getattr(ours, name)(nobody, nobody, nobody * 1.0))
    assert ours.accuracy(nobody, nobody, nobody * 1.0) == 1.0


@settings(max_examples=60)
@given(SEEDS, SIZES, CLASSES, st.integers(1, 12))
def test_auc_is_scikit_learns_ties_too(seed: int, rows: int, classes: int, levels: int) -> None:
    true, probabilities = single(seed, rows, classes)
    probabilities = np.round(probabilities * levels) / levels  # few levels: many ties
    truth = one_hot(true, classes)
    asked = [c for c in range(classes) if 0 < truth[:, c].sum() < rows]
    areas = [reference.roc_auc_score(truth[:, c], probabilities[:, c]) for c in asked]
    assert likelihoods.auc(truth, truth, probabilities) == pytest.approx(np.mean(areas))


def test_auc_needs_rows_with_and_rows_without_a_label() -> None:
    truth = np.array([[True, False], [True, False]])
    assert np.isnan(likelihoods.auc(truth, truth, truth * 0.9))


def test_calibration_error_of_a_model_that_is_too_sure() -> None:
    """Ten rows at 0.85, seven right; ten at 0.55, five right: 0.5 · 0.15 + 0.5 · 0.05."""
    true = np.array([0] * 7 + [1] * 3 + [0] * 5 + [1] * 5)
    sure = np.array([0.85] * 10 + [0.55] * 10)
    probabilities = np.column_stack([sure, 1 - sure])
    decision = one_hot(np.zeros(20, dtype=int), 2)
    error = likelihoods.calibration_error(one_hot(true, 2), decision, probabilities)
    assert error == pytest.approx(0.1)


def test_calibration_error_is_0_when_the_sure_are_right() -> None:
    truth = one_hot(np.array([0, 1, 1]), 2)
    assert likelihoods.calibration_error(truth, truth, truth.astype(float)) == 0.0
