"""Metrics of the decisions of a classifier.

Truth and decision are boolean (rows, classes). An average over labels is over those that occur in
the truth or in the decision; see :mod:`adapterhub_lite_metrics.rates`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapterhub_lite.evaluation import RowSums
from adapterhub_lite_metrics import rates

Truth = NDArray[np.bool_]
Floats = NDArray[np.float64]


def _hits(truth: Truth, decision: Truth, probabilities: Floats) -> Floats:
    """Return whether each row is right, beside a one to count it."""
    right = (truth == decision).all(axis=1)
    return np.column_stack([right, np.ones(len(truth))]).astype(np.float64)


def _label_counts(truth: Truth, decision: Truth, probabilities: Floats) -> Floats:
    """Return each row's true labels, decided labels and right labels side by side."""
    return np.hstack([truth, decision, truth & decision]).astype(np.float64)


def _matthews(counts: NDArray[Any]) -> float:
    """Return the coefficient of Gorodkin 2004, https://doi.org/10.1016/j.compbiolchem.2004.09.006.

    It is NaN where the truth has one label only, 0 where the decision has.
    """
    true, decided, right = counts.reshape(3, -1)
    rows = true.sum()
    spread_of_truth = rows**2 - true @ true
    spread_of_decision = rows**2 - decided @ decided
    if spread_of_truth <= 0:
        return np.nan
    if spread_of_decision <= 0:
        return 0.0
    together = right.sum() * rows - true @ decided
    return float(together / np.sqrt(spread_of_truth * spread_of_decision))


def _share(sums: NDArray[Any]) -> float:
    return float(sums[0] / sums[1])


accuracy = RowSums(_hits, _share)
"""The share of rows whose labels are all right."""

macro_f1 = RowSums(_label_counts, rates.macro(rates.f1))
macro_precision = RowSums(_label_counts, rates.macro(rates.precision))
macro_recall = RowSums(_label_counts, rates.macro(rates.recall))
micro_f1 = RowSums(_label_counts, rates.micro(rates.f1))
micro_precision = RowSums(_label_counts, rates.micro(rates.precision))
micro_recall = RowSums(_label_counts, rates.micro(rates.recall))

matthews = RowSums(_label_counts, _matthews)
"""Matthews' correlation coefficient of rows with one label each."""
