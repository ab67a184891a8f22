"""Metrics of classification."""

from collections.abc import Iterator

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import MetricSpec, Task

CLASSIFICATION: frozenset[Task] = frozenset({"text-classification"})


@hookimpl
def adapterhub_metrics() -> Iterator[MetricSpec]:
    """Offer accuracy, F1 in three averages, Matthews' coefficient and log-loss."""
    table = (
        ("accuracy", "Rows whose labels are all right.", True, True),
        ("macro_f1", "F1 averaged over the labels, each counting the same.", True, True),
        ("micro_f1", "F1 over all decisions together.", True, True),
        ("matthews", "Matthews' correlation coefficient.", True, False),
        ("log_loss", "Mean negative log-probability of the truth.", False, True),
    )
    for name, summary, greater_is_better, multi_label in table:
        yield MetricSpec(
            name=name,
            summary=summary,
            implementation=f"adapterhub_lite_metrics.classification:{name}",
            tasks=CLASSIFICATION,
            greater_is_better=greater_is_better,
            multi_label=multi_label,
        )
