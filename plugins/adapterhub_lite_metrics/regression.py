"""Metrics of numbers: how far they are from the truth, and how they go with it."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from adapterhub_lite.evaluation import RowSums

Floats = NDArray[np.float64]
Counts = NDArray[np.intp]
Sums = NDArray[Any]

ROUNDING: Final = 1e-12
"""A variance that is this small a part of the sum of squares is rounding: nothing varies."""


def _moments(truth: Floats, decision: Floats, scores: Floats) -> Floats:
    """Return 1, x, y, x², y², xy of each row, both around their means; they lose no digits so."""
    x, y = truth - truth.mean(), decision - decision.mean()
    return np.column_stack([np.ones(len(x)), x, y, x * x, y * y, x * y])


def _correlation(sums: Sums) -> float:
    """Return Pearson's coefficient; NaN where truth or decision does not vary."""
    rows, x, y, xx, yy, xy = sums
    spread_x, spread_y = xx - x * x / rows, yy - y * y / rows
    if spread_x <= ROUNDING * xx or spread_y <= ROUNDING * yy:
        return np.nan
    return float(np.clip((xy - x * y / rows) / np.sqrt(spread_x) / np.sqrt(spread_y), -1, 1))


def _errors(truth: Floats, decision: Floats, scores: Floats) -> Floats:
    """Return 1, the error squared, its size, and the truth around its mean and its square."""
    error, around = decision - truth, truth - truth.mean()
    return np.column_stack([np.ones(len(error)), error**2, np.abs(error), around, around**2])


def _explained(sums: Sums) -> float:
    """Return R²; NaN where the truth does not vary."""
    rows, squared, _, x, xx = sums
    spread = xx - x * x / rows
    return float(1 - squared / spread) if spread > ROUNDING * xx else np.nan


class Spearman:
    """Pearson's correlation of ranks, equal values sharing the middle of theirs.

    NaN where truth or decision does not vary.
    """

    def __call__(self, truth: Floats, decision: Floats, scores: Floats) -> float:
        """Score rows, each counting once."""
        return self.prepare(truth, decision, scores)(np.ones(len(truth), dtype=np.intp))

    def prepare(self, truth: Floats, decision: Floats, scores: Floats) -> Callable[[Counts], float]:
        """Find equal values once: in a resample a rank is what is counted below it."""
        groups = [np.unique(values, return_inverse=True)[1] for values in (truth, decision)]

        def correlation(counts: Counts) -> float:
            x, y = (_ranks(group, counts) for group in groups)
            return _correlation(counts @ _moments(x, y, scores))

        return correlation


def _ranks(group: NDArray[np.intp], counts: Counts) -> Floats:
    """Return the middle rank of each row's value, where row i counts ``counts[i]`` times."""
    sizes = np.bincount(group, counts)
    middle = sizes.cumsum() - (sizes - 1) / 2
    return np.asarray(middle[group], dtype=np.float64)


def _same(truth: Floats, decision: Floats, scores: Floats) -> Floats:
    same = (truth == 1.0).astype(np.float64)
    return np.column_stack([same, same * decision])


pearson = RowSums(_moments, _correlation)
spearman = Spearman()
mse = RowSums(_errors, lambda sums: float(sums[1] / sums[0]))
rmse = RowSums(_errors, lambda sums: float(np.sqrt(sums[1] / sums[0])))
mae = RowSums(_errors, lambda sums: float(sums[2] / sums[0]))
r2 = RowSums(_errors, _explained)

cosine_of_same = RowSums(_same, lambda sums: float(sums[1] / sums[0]) if sums[0] else np.nan)
"""The mean cosine of the pairs whose value is 1; NaN where there is no such pair."""
