"""Every metric of the catalogue that fits a task, on rows that were answered."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import AdapterHubError, CapabilityError, PluginError
from adapterhub_lite.evaluation.intervals import bootstrap_interval
from adapterhub_lite.evaluation.measures import measure_of
from adapterhub_lite.evaluation.results import MetricValue
from adapterhub_lite.plugins import one_line
from adapterhub_lite.specs import MetricSpec, Task

if TYPE_CHECKING:
    from adapterhub_lite.scoring import Scored

HEADLINES: Final[Mapping[Task, str]] = {
    "text-classification": "accuracy",
    "token-classification": "span_f1",
    "text-regression": "rmse",
    "question-answering": "squad_f1",
    "text-generation": "perplexity",
    "text2text-generation": "perplexity",
    "sentence-similarity": "spearman",
}
"""Task → the metric that comes first wherever metrics are listed."""


def fitting_metrics(
    catalogue: Catalogue, task: Task, *, multi_label: bool = False, only: Collection[str] = ()
) -> list[MetricSpec]:
    """Return the metrics of a task, its headline first and the others by name.

    ``only`` names those that are wanted: raises UnknownNameError or PluginConflictError for one
    that nobody offers or two do, CapabilityError for one that does not fit the task.
    """
    for name in only:
        catalogue.offer("metric", name)
    specs = [
        spec
        for spec in catalogue.metrics.values()
        if task in spec.tasks and (spec.multi_label or not multi_label)
    ]
    names = sorted(spec.name for spec in specs)
    for name in only:
        if name not in names:
            what = f"{task} with several labels a row" if multi_label else task
            raise CapabilityError(
                f"the metric {name!r} is not one of {what}", hint=f"use one of: {', '.join(names)}"
            )
    wanted = [spec for spec in specs if not only or spec.name in only]
    return sorted(wanted, key=lambda spec: (spec.name != HEADLINES[task], spec.name))


def measure_metrics(
    scored: "Scored", specs: Sequence[MetricSpec], catalogue: Catalogue
) -> tuple[tuple[MetricValue, ...], tuple[str, ...]]:
    """Return the value of each metric, and notes on those that were left out.

    A metric is left out when its library is missing, when it fails, and when it is not finite on
    these rows or on most of their resamples.
    """
    values, notes, undefined = [], [], []
    for spec in specs:
        try:
            value = _measured(scored, spec, catalogue)
        except AdapterHubError as error:
            notes.append(f"{spec.name} is left out: {error.message}; {error.hint}".rstrip("; "))
            continue
        if value is None:
            undefined.append(spec.name)
        else:
            values.append(value)
    if undefined:
        notes.append(f"not defined on these rows: {', '.join(undefined)}")
    return tuple(values), tuple(notes)


def _measured(scored: "Scored", spec: MetricSpec, catalogue: Catalogue) -> MetricValue | None:
    """Return a metric's value; None where it is undefined, PluginError where it fails."""
    metric = catalogue.implementation(spec)
    try:
        value = float(metric(scored.truth, scored.decision, scored.scores))
        if not math.isfinite(value):
            return None
        interval = bootstrap_interval(measure_of(metric, scored), len(scored))
        if interval is None:
            return None
        return MetricValue(spec.name, value, interval, signature_of(spec, catalogue))
    except Exception as error:  # somebody's code: it must not cost the user the other metrics
        raise PluginError(f"it failed: {one_line(error)}", plugin=spec.implementation) from error


def signature_of(spec: MetricSpec, catalogue: Catalogue) -> str:
    """Return the line that says how a metric is computed; empty for most."""
    if not spec.signature:
        return ""
    signature: Any = catalogue.implementation(replace(spec, implementation=spec.signature))
    return str(signature())
