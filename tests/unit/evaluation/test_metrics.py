"""The metrics give scikit-learn's numbers, whatever the rows."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as reference

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.plugins import load_catalogue
from adapterhub_lite_metrics import classification as ours

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(2, 40)
CLASSES = st.integers(2, 6)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(first_party_only=True)


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
    assert ours.log_loss(*given_rows) == pytest.approx(
        reference.log_loss(true, probabilities, labels=labels)
    )


def _f1_of_labels_that_occur(truth: Bools, decision: Bools, average: str) -> float:
    labels = np.flatnonzero((truth | decision).any(axis=0)).tolist()
    if not labels:
        return 1.0
    found = reference.f1_score(truth, decision, labels=labels, average=average, zero_division=0)
    return float(found)


@settings(max_examples=60)
@given(SEEDS, SIZES, CLASSES, st.floats(0.05, 0.95))
def test_with_several_labels_a_row_they_are_scikit_learns(
    seed: int, rows: int, classes: int, threshold: float
) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random((rows, classes)) < 0.4
    probabilities = rng.random((rows, classes))
    decision = probabilities >= threshold
    assume(np.count_nonzero((truth | decision).any(axis=0)) != 1)  # see the next test
    given_rows = truth, decision, probabilities
    assert ours.accuracy(*given_rows) == pytest.approx(reference.accuracy_score(truth, decision))
    for average, metric in (("macro", ours.macro_f1), ("micro", ours.micro_f1)):
        expected = _f1_of_labels_that_occur(truth, decision, average)
        assert metric(*given_rows) == pytest.approx(expected)
    columns = [
        reference.log_loss(truth[:, i], probabilities[:, i], labels=[False, True])
        for i in range(classes)
    ]
    assert ours.log_loss(*given_rows) == pytest.approx(np.mean(columns))


@pytest.mark.parametrize("metric", [ours.macro_f1, ours.micro_f1])
def test_where_one_label_occurs_f1_is_that_labels(metric: Callable[..., float]) -> None:
    truth = np.array([[True, False], [False, False], [False, False]])
    for decided, expected in (([1, 1, 0], 2 / 3), ([0, 1, 0], 0.0)):
        decision = np.column_stack([np.array(decided, dtype=bool), np.zeros(3, dtype=bool)])
        assert metric(truth, decision, decision * 1.0) == pytest.approx(expected)


def test_a_sure_mistake_is_costly_but_finite() -> None:
    truth, decision = one_hot(np.array([0]), 2), one_hot(np.array([1]), 2)
    loss = ours.log_loss(truth, decision, np.array([[0.0, 1.0]]))
    assert loss == pytest.approx(-np.log(ours.SMALLEST))


def test_perfect_predictions() -> None:
    truth = one_hot(np.array([0, 1, 2, 1]), 3)
    sure = truth.astype(float)
    for metric in (ours.accuracy, ours.macro_f1, ours.micro_f1, ours.matthews):
        assert metric(truth, truth, sure) == 1.0
    assert ours.log_loss(truth, truth, sure) == pytest.approx(0.0, abs=1e-9)


def test_rows_without_any_label_count_as_right_when_none_is_predicted() -> None:
    truth = np.array([[False, False], [True, False]])
    assert ours.accuracy(truth, truth, truth * 0.9) == 1.0
    assert ours.accuracy(truth, ~truth, truth * 0.9) == 0.0


def test_rows_of_one_label_give_no_warning() -> None:
    truth = one_hot(np.array([1, 1]), 3)
    assert ours.matthews(truth, truth, truth.astype(float)) == 0.0


def test_a_label_that_nobody_has_and_nobody_predicts_is_left_out_of_averages() -> None:
    truth, decision = one_hot(np.array([0, 1, 1]), 3), one_hot(np.array([0, 1, 0]), 3)
    assert ours.macro_f1(truth, decision, decision * 1.0) == pytest.approx((2 / 3 + 2 / 3) / 2)
    nobody = np.zeros((2, 3), dtype=bool)
    assert ours.macro_f1(nobody, nobody, nobody * 1.0) == 1.0


def test_multi_label_log_loss_looks_at_all_labels_when_probabilities_happen_to_sum_to_one() -> None:
    truth = np.array([[True, True], [False, False]])
    probabilities = np.array([[0.75, 0.25], [0.75, 0.25]])
    expected = -np.mean([np.log(0.75), np.log(0.25), np.log(0.25), np.log(0.75)])
    assert ours.log_loss(truth, probabilities >= 0.5, probabilities) == pytest.approx(expected)
    nobody = np.zeros_like(truth)
    assert np.isfinite(ours.log_loss(nobody, probabilities >= 0.5, probabilities))


def test_the_plugin_offers_every_metric_with_its_direction(catalogue: Catalogue) -> None:
    offered = catalogue.metrics
    assert set(offered) >= {"accuracy", "macro_f1", "micro_f1", "matthews", "log_loss"}
    lower_is_better = {name for name, spec in offered.items() if not spec.greater_is_better}
    assert lower_is_better == {"log_loss"}
    assert {name for name, spec in offered.items() if not spec.multi_label} == {"matthews"}
    for name in ("accuracy", "macro_f1", "micro_f1", "matthews", "log_loss"):
        assert catalogue.implementation(offered[name]) is getattr(ours, name)
