"""From a metric to a function of how often each row counts, which is what resampling asks for.

Any metric can be resampled by picking its rows anew. One that offers ``prepare`` does its work on
the rows once (reading spans, counting n-grams, sorting), and a resample then costs a sum.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from adapterhub_lite.protocols import Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from adapterhub_lite.scoring import Scored

    Values = NDArray[Any]
    Counts = NDArray[np.intp]
    Measure = Callable[[Counts], float]


@runtime_checkable
class PreparedMetric(Protocol):
    """A metric that scores many resamples of the same rows at little cost."""

    def __call__(self, truth: "Values", decision: "Values", scores: "Values") -> float:
        """Score rows, as any :class:`~adapterhub_lite.protocols.Metric`."""

    def prepare(self, truth: "Values", decision: "Values", scores: "Values") -> "Measure":
        """Return a function that scores the rows with row i counting ``counts[i]`` times."""


@dataclass(frozen=True, slots=True)
class RowSums:
    """A metric that depends on the rows through sums alone: a share, a mean, F1, BLEU.

    ``statistics`` takes a metric's three arrays and returns (rows, k) numbers, ``reduce`` makes
    the metric of their sums over rows, (k,).
    """

    statistics: "Callable[[Any, Any, Any], Values]"
    reduce: "Callable[[Values], float]"

    def __call__(self, truth: "Values", decision: "Values", scores: "Values") -> float:
        """Score rows."""
        return self.reduce(self.statistics(truth, decision, scores).sum(axis=0))

    def prepare(self, truth: "Values", decision: "Values", scores: "Values") -> "Measure":
        """Compute the statistics; a resample sums them anew."""
        statistics = self.statistics(truth, decision, scores)
        return lambda counts: self.reduce(counts @ statistics)


def measure_of(metric: Metric, scored: "Scored") -> "Measure":
    """Return the function that scores these rows, given how often each of them counts."""
    if isinstance(metric, PreparedMetric):
        return metric.prepare(scored.truth, scored.decision, scored.scores)

    def on_rows(counts: "Counts") -> float:
        import numpy as np

        chosen = np.repeat(np.arange(len(scored)), counts)
        return metric(scored.truth[chosen], scored.decision[chosen], scored.scores[chosen])

    return on_rows
