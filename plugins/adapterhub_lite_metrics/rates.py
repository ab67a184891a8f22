"""Precision, recall and F1 from counts, for labels, tags and spans alike.

Counts are sums over rows: how many there are in truth, how many were decided, and how many of
those are right; one number for each label. A rate of a label that occurs is 0 where it divides
nothing by nothing, as in scikit-learn; where no label occurs at all, there is no rate: NaN.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]
Rate = Callable[[Numbers, Numbers, Numbers], Numbers]


def precision(true: Numbers, decided: Numbers, right: Numbers) -> Numbers:
    """Return how many of those decided are right."""
    return _ratio(right, decided)


def recall(true: Numbers, decided: Numbers, right: Numbers) -> Numbers:
    """Return how many of the true ones were decided."""
    return _ratio(right, true)


def f1(true: Numbers, decided: Numbers, right: Numbers) -> Numbers:
    """Return the harmonic mean of precision and recall."""
    return _ratio(2 * right, true + decided)


def macro(rate: Rate) -> Callable[[Numbers], float]:
    """Return the mean of a rate over the labels that occur; takes counts (3 x labels,)."""
    return partial(_macro, rate)


def micro(rate: Rate) -> Callable[[Numbers], float]:
    """Return a rate of all labels together; takes counts (3 x labels,)."""
    return partial(_micro, rate)


def _macro(rate: Rate, counts: Numbers) -> float:
    true, decided, right = counts.reshape(3, -1)
    seen = (true + decided) > 0
    return float(rate(true[seen], decided[seen], right[seen]).mean()) if seen.any() else np.nan


def _micro(rate: Rate, counts: Numbers) -> float:
    return _macro(rate, counts.reshape(3, -1).sum(axis=1))


def _ratio(part: Numbers, whole: Numbers) -> Numbers:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
