"""An evaluation as the registry keeps it beside a version."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from adapterhub_lite.data.hashing import fingerprint
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.evaluation.results import Evaluation
from adapterhub_lite.specs import Task

if TYPE_CHECKING:
    from adapterhub_lite_registry.evaluations import EvaluationDraft


def draft_record(
    evaluation: Evaluation, rows: RowSet, source: str, task: Task, env: Mapping[str, str]
) -> "EvaluationDraft":
    """Return what is worth keeping: figures and tables, but no row of the data, so no mistakes.

    ``source`` is what the user called the rows; their fingerprint says which they were.
    """
    from adapterhub_lite_registry import Dataset, Metric
    from adapterhub_lite_registry.evaluations import EvaluationDraft

    details: dict[str, Any] = {}
    if evaluation.classes:
        details["classes"] = [asdict(row) for row in evaluation.classes]
    if evaluation.confusion:
        details["confusion"] = [list(row) for row in evaluation.confusion]
    return EvaluationDraft(
        task=task,
        dataset=Dataset(id=source, rows=len(rows), sha256=fingerprint(rows)),
        metrics=tuple(
            Metric(name=metric.name, value=metric.value, n=evaluation.rows, ci=metric.interval)
            for metric in evaluation.metrics
        ),
        signatures={m.name: m.signature for m in evaluation.metrics if m.signature},
        notes=evaluation.notes,
        details=details,
        env=dict(env),
    )
