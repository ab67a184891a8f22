"""my-plugin: a metric for classifiers, the mean reciprocal rank of the right label."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import MetricSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray


@hookimpl
def adapterhub_metrics() -> Iterable[MetricSpec]:
    """Offer the metric, for tasks that have one label a row."""
    yield MetricSpec(
        name="my-metric",
        summary="One over the place of the right label among the likeliest, on average.",
        implementation="my_plugin:my_metric",
        tasks=frozenset({"text-classification"}),
        multi_label=False,
    )


def my_metric(truth: NDArray[Any], decision: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return the mean over rows; all three are (rows, classes), the scores are probabilities.

    Of equal probabilities none is before another. It is not defined without rows: NaN says that.
    """
    if not len(truth):
        return float("nan")
    of_right = scores[truth].reshape(-1, 1)
    places = 1 + (scores > of_right).sum(axis=1)
    return float((1 / places).mean())
