"""Metrics of the probabilities that a classifier gives, (rows, classes)."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from adapterhub_lite.evaluation import RowSums

Truth = NDArray[np.bool_]
Floats = NDArray[np.float64]
Counts = NDArray[np.intp]

SMALLEST: Final = 1e-12
"""Probabilities are kept this far from 0 and 1, so that one sure mistake is not infinite."""

BINS: Final = 15


def _row_losses(truth: Truth, decision: Truth, probabilities: Floats) -> Floats:
    """Return each row's negative log-probability of its truth, in nats, and a one.

    With one label a row and probabilities that add up to 1, that of the label; else the mean over
    all labels, each a yes-or-no question.
    """
    clipped = probabilities.clip(SMALLEST, 1 - SMALLEST)
    if _one_label_a_row(truth, decision, probabilities):
        losses = -np.log(clipped[truth])
    else:
        losses = -np.where(truth, np.log(clipped), np.log1p(-clipped)).mean(axis=1)
    return np.column_stack([losses, np.ones(len(losses))])


def _one_label_a_row(truth: Truth, decision: Truth, probabilities: Floats) -> bool:
    single = (truth.sum(1) == 1).all() and (decision.sum(1) == 1).all()
    return bool(single and np.allclose(probabilities.sum(1), 1.0, atol=1e-6))


def _confidence_gaps(truth: Truth, decision: Truth, probabilities: Floats) -> Floats:
    """Return, in the column of a row's bin, confidence minus hit; last a one."""
    confidence = probabilities[decision]
    bins = np.ceil(confidence * BINS).astype(int).clip(1, BINS) - 1
    gaps = np.zeros((len(truth), BINS + 1))
    gaps[np.arange(len(truth)), bins] = confidence - truth[decision]
    gaps[:, BINS] = 1
    return gaps


def _mean_gap(sums: NDArray[Any]) -> float:
    return float(np.abs(sums[:BINS]).sum() / sums[BINS])


def _share(sums: NDArray[Any]) -> float:
    return float(sums[0] / sums[1])


class AreaUnderCurve:
    """The chance that a row with the label gets a higher probability than one without it.

    It is averaged over the labels that some rows have and others lack; where there is none, the
    metric is NaN. Rows of equal probability count half: Hanley and McNeil 1982,
    https://doi.org/10.1148/radiology.143.1.7063747.
    """

    def __call__(self, truth: Truth, decision: Truth, probabilities: Floats) -> float:
        """Score rows, each counting once."""
        return self.prepare(truth, decision, probabilities)(np.ones(len(truth), dtype=np.intp))

    def prepare(
        self, truth: Truth, decision: Truth, probabilities: Floats
    ) -> Callable[[Counts], float]:
        """Sort once, for every label: a resample only counts its rows."""
        order = probabilities.argsort(axis=0, kind="stable")
        ordered = np.take_along_axis(probabilities, order, axis=0)
        positive = np.take_along_axis(truth, order, axis=0)
        first, after = _group_edges(ordered)

        def area(counts: Counts) -> float:
            weights = counts[order].astype(np.float64)
            with_label = weights * positive
            below = np.zeros((len(weights) + 1, weights.shape[1]))
            np.cumsum(weights - with_label, axis=0, out=below[1:])
            pairs = with_label.sum(axis=0) * below[-1]
            ties = np.take_along_axis(below, first, 0) + np.take_along_axis(below, after, 0)
            won = (with_label * ties).sum(axis=0) / 2
            asked = pairs > 0
            return float((won[asked] / pairs[asked]).mean()) if asked.any() else np.nan

        return area


def _group_edges(ordered: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return, for each place in sorted columns, where its run of equal values starts and ends."""
    rows = len(ordered)
    places = np.arange(rows)[:, None]
    starts = np.ones(ordered.shape, dtype=bool)
    starts[1:] = ordered[1:] != ordered[:-1]
    first = np.maximum.accumulate(np.where(starts, places, 0), axis=0)
    ends = np.ones(ordered.shape, dtype=bool)
    ends[:-1] = starts[1:]
    after = np.minimum.accumulate(np.where(ends, places + 1, rows)[::-1], axis=0)[::-1]
    return first, after


log_loss = RowSums(_row_losses, _share)
"""The mean negative log-probability of the truth, in nats."""

calibration_error = RowSums(_confidence_gaps, _mean_gap)
"""Expected calibration error over 15 equal bins: Guo et al. 2017, arXiv:1706.04599."""

auc = AreaUnderCurve()
