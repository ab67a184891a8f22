"""Confidence intervals: of a metric over rows, and of a mean over seeds."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 300


def bootstrap_interval(
    metric: "Callable[[NDArray[np.intp]], float]", rows: int, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile-bootstrap interval of ``metric(row numbers)`` over ``rows`` rows.

    Efron 1979, https://doi.org/10.1214/aos/1176344552; the seed makes it repeatable.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    values = [metric(rng.integers(0, rows, rows)) for _ in range(RESAMPLES)]
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
