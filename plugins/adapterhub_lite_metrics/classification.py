"""Metrics of classification, by scikit-learn.

Each takes the truth (rows, classes; boolean) and the decision or the probabilities of the same
shape. An average over labels is over those that occur in the truth or in the decision.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

Truth = NDArray[np.bool_]
Floats = NDArray[np.float64]
SMALLEST = 1e-12
"""Probabilities are kept this far from 0 and 1, so that one sure mistake is not infinite."""


def accuracy(truth: Truth, decision: Truth, probabilities: Floats) -> float:
    """Return the share of rows whose labels are all right."""
    return float((truth == decision).all(axis=1).mean())


def macro_f1(truth: Truth, decision: Truth, probabilities: Floats) -> float:
    """Return F1 averaged over the labels."""
    return _f1(truth, decision, "macro")


def micro_f1(truth: Truth, decision: Truth, probabilities: Floats) -> float:
    """Return F1 over all decisions together; with one label a row this is the accuracy."""
    return _f1(truth, decision, "micro")


def matthews(truth: Truth, decision: Truth, probabilities: Floats) -> float:
    """Return Matthews' correlation coefficient, 0 where only one label occurs; one label a row."""
    if np.count_nonzero(_occurring(truth, decision)) < 2:
        return 0.0
    return float(metrics.matthews_corrcoef(truth.argmax(1), decision.argmax(1)))


def log_loss(truth: Truth, decision: Truth, probabilities: Floats) -> float:
    """Return the mean negative log-probability of the truth, in nats.

    With one label a row and probabilities that add up to 1, of that label; else over all labels,
    each a yes-or-no question.
    """
    clipped = probabilities.clip(SMALLEST, 1 - SMALLEST)
    if _one_label_a_row(truth, decision, probabilities):
        return float(-np.log(clipped[truth]).mean())
    return float(-np.where(truth, np.log(clipped), np.log1p(-clipped)).mean())


def _one_label_a_row(truth: Truth, decision: Truth, probabilities: Floats) -> bool:
    single = (truth.sum(1) == 1).all() and (decision.sum(1) == 1).all()
    return bool(single and np.allclose(probabilities.sum(1), 1.0, atol=1e-6))


def _f1(truth: Truth, decision: Truth, average: Any) -> float:
    """Average over the labels that occur: one that is neither asked for nor given has no F1."""
    seen = np.flatnonzero(_occurring(truth, decision))
    if not len(seen):
        return 1.0
    if truth.shape[1] == 1:  # one column would be taken for two classes, yes and no
        return float(metrics.f1_score(truth[:, 0], decision[:, 0], zero_division=0))
    return float(metrics.f1_score(truth, decision, labels=seen, average=average, zero_division=0))


def _occurring(truth: Truth, decision: Truth) -> Truth:
    return np.asarray(truth.any(axis=0) | decision.any(axis=0))
