"""Compare what scorers answer: arrays, and records with numbers in them."""

import math
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.scoring import Scored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAME: Final = 1e-4
"""Largest difference of two numbers, absolutely and relatively."""


def flat(scores: "NDArray[Any]") -> "NDArray[np.float64]":
    """Return all scores in one line; a tagger's have an array a row."""
    import numpy as np

    parts = [np.asarray(row, dtype=np.float64).ravel() for row in scores]
    return np.concatenate(parts) if parts else np.empty(0)


def score_difference(one: Scored, other: Scored) -> float:
    """Return the largest difference of two answers' scores; infinite where they are not alike."""
    import numpy as np

    first, second = flat(one.scores), flat(other.scores)
    if first.shape != second.shape or not np.isfinite(second).all():
        return math.inf
    return float(np.abs(first - second).max(initial=0.0))


def alike(one: Any, other: Any) -> bool:
    """Say whether two records are the same but for rounding."""
    if isinstance(one, bool) or not isinstance(one, int | float | dict | list | tuple):
        return bool(one == other)
    if isinstance(one, int | float):
        return isinstance(other, int | float) and math.isclose(
            one, other, rel_tol=SAME, abs_tol=SAME
        )
    if isinstance(one, dict):
        # the order is that of the probabilities, and may turn where two are close
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(alike(value, other[key]) for key, value in one.items())
        )
    return len(one) == len(other) and all(map(alike, one, other))
