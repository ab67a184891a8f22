"""Confidence intervals: of a metric over rows, and of a mean over seeds."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from adapterhub_lite.evaluation.measures import Counts, Measure

CONFIDENCE = 0.95
RESAMPLES = 300


def bootstrap_interval(measure: "Measure", rows: int, seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % percentile-bootstrap interval of ``measure`` over ``rows`` rows.

    Efron 1979, https://doi.org/10.1214/aos/1176344552; the seed makes it repeatable. Resamples on
    which the metric is not finite are left out; None when they are more than half.
    """
    import numpy as np

    values = np.array([measure(counts) for counts in resamples(rows, RESAMPLES, seed)])
    finite = values[np.isfinite(values)]
    return percentile_interval(finite) if 2 * len(finite) >= len(values) else None


def resamples(rows: int, number: int, seed: int) -> "Iterator[Counts]":
    """Yield, resample by resample, how often each of ``rows`` rows was drawn with replacement."""
    import numpy as np

    rng = np.random.default_rng(seed)
    for _ in range(number):
        yield np.bincount(rng.integers(0, rows, rows), minlength=rows)


def percentile_interval(values: "NDArray[np.float64]") -> tuple[float, float]:
    """Return between which bounds the middle 95 % of values lie."""
    import numpy as np

    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def mean_interval(values: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """Return the mean over seeds and its 95 % interval by Student's t; None for a single value."""
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None
    from scipy.stats import t

    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * deviation / math.sqrt(len(values))
    return mean, (mean - half, mean + half)
