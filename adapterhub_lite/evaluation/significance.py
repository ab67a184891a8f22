"""Whether two models differ by more than chance, on the same rows.

The paired bootstrap (Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 16;
Koehn 2004, https://aclanthology.org/W04-3250) draws rows for both models alike. McNemar's test
(1947, https://doi.org/10.1007/BF02295996), in its exact form, is for rows that are right or wrong.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.evaluation.intervals import percentile_interval, resamples
from adapterhub_lite.evaluation.measures import measure_of
from adapterhub_lite.protocols import Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from adapterhub_lite.scoring import Scored

RESAMPLES: Final = 1000
EXACT: Final = "accuracy"
"""The metric whose rows are right or wrong, for McNemar's test."""

TIE: Final = 1e-12
"""Differences this close are equal: they were added up in another order."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A metric of two models on the same rows; ``difference`` is second minus first.

    ``interval`` is the difference's 95 % bootstrap interval; ``p_value`` is two-sided, by ``test``.
    """

    metric: str
    first: float
    second: float
    difference: float
    interval: tuple[float, float]
    p_value: float
    test: str


def compare(
    first: "Scored", second: "Scored", name: str, metric: Metric, seed: int = 0
) -> Comparison | None:
    """Compare two models by a metric; None where it is not finite for both, or on most resamples.

    Both have to have answered the same rows in the same order.
    """
    import numpy as np

    assert len(first) == len(second), "both models answer the same rows"
    measures = [measure_of(metric, scored) for scored in (first, second)]
    once = np.ones(len(first), dtype=np.intp)
    before, after = (measure(once) for measure in measures)
    drawn = resamples(len(first), RESAMPLES, seed)
    differences = np.array([measures[1](counts) - measures[0](counts) for counts in drawn])
    differences = differences[np.isfinite(differences)]
    if not math.isfinite(after - before) or 2 * len(differences) < RESAMPLES:
        return None
    exact = name == EXACT
    p_value = mcnemar(first, second) if exact else _p_value(after - before, differences)
    return Comparison(
        metric=name,
        first=before,
        second=after,
        difference=after - before,
        interval=percentile_interval(differences),
        p_value=p_value,
        test="McNemar, exact" if exact else "paired bootstrap",
    )


def compare_metrics(
    first: "Scored", second: "Scored", names: Sequence[str], catalogue: Catalogue
) -> tuple[Comparison, ...]:
    """Compare two models by each of the named metrics; those that are not comparable are absent."""
    metrics = ((name, catalogue.implementation(catalogue.metrics[name])) for name in names)
    found = (compare(first, second, name, metric) for name, metric in metrics)
    return tuple(comparison for comparison in found if comparison is not None)


def mcnemar(first: "Scored", second: "Scored") -> float:
    """Return the two-sided exact p-value that both models are right equally often.

    Only rows that one of them has right count: by chance each is right on half of those.
    """
    from scipy.stats import binomtest

    right = [(scored.truth == scored.decision).all(axis=1) for scored in (first, second)]
    gained, lost = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def _p_value(difference: float, differences: "NDArray[Any]") -> float:
    """Return how often chance alone differs as much.

    Chance is the bootstrap's distribution, moved to a mean of no difference. What was seen counts
    as one of the draws, so that no p-value is 0.
    """
    chance = abs(differences - difference)
    as_much = int((chance >= abs(difference) - TIE).sum())
    return (1 + as_much) / (1 + len(differences))
