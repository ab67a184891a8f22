"""Score a model on rows: every metric that fits, each label, the mistakes."""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.table import RowSet, TextSet
from adapterhub_lite.errors import DataError, nearest_name
from adapterhub_lite.evaluation.metrics import fitting_metrics, measure_metrics
from adapterhub_lite.evaluation.results import Evaluation
from adapterhub_lite.evaluation.tables import class_rows, confusion, mistakes
from adapterhub_lite.protocols import Scorer
from adapterhub_lite.specs import Task

if TYPE_CHECKING:
    from adapterhub_lite.scoring import Scored


def evaluate(
    scorer: Scorer,
    rows: RowSet,
    catalogue: Catalogue,
    progress: Callable[[int], None] | None = None,
    *,
    task: Task,
    only: Collection[str] = (),
) -> Evaluation:
    """Score ``rows`` with every metric of the catalogue that fits the task, or ``only`` with some.

    Raises DataError when rows have labels that the model does not know, or there are none;
    UnknownNameError or CapabilityError for a wanted metric.
    """
    require_known_labels(rows, scorer.classes)
    scored = scorer.score(rows, progress)
    return evaluate_scored(scored, rows, scorer.classes, catalogue, task=task, only=only)


def evaluate_scored(
    scored: "Scored",
    rows: RowSet,
    classes: Sequence[str],
    catalogue: Catalogue,
    *,
    task: Task,
    only: Collection[str] = (),
) -> Evaluation:
    """Evaluate answers that are there already; ``classes`` are the labels of the model."""
    labelled = task == "text-classification"
    multi_label = labelled and _has_several_labels(rows, scored)
    specs = fitting_metrics(catalogue, task, multi_label=multi_label, only=only)
    metrics, notes = measure_metrics(scored, specs, catalogue)
    return Evaluation(
        rows=len(rows),
        metrics=metrics,
        classes=class_rows(task, scored, classes),
        confusion=confusion(scored) if labelled and not multi_label else None,
        mistakes=mistakes(task, rows, scored, classes),
        notes=notes,
    )


def _has_several_labels(rows: RowSet, scored: "Scored") -> bool:
    """Say whether rows may have several labels, in the data or as the model answers."""
    several = isinstance(rows, TextSet) and rows.multi_label
    return several or not bool((scored.decision.sum(axis=1) == 1).all())


def require_known_labels(rows: RowSet, classes: Sequence[str]) -> None:
    """Raise DataError for no rows, and for labels that a model with ``classes`` does not know."""
    if not len(rows):
        raise DataError("there are no rows to score", hint="every row may have had a flaw")
    unknown = [label for label in rows.classes if label not in classes] if classes else []
    if not unknown:
        return
    shown = ", ".join(map(repr, unknown[:5])) + (" …" if len(unknown) > 5 else "")
    near = nearest_name(unknown[0], classes)
    raise DataError(
        f"the model does not know {len(unknown)} of the data's labels: {shown}",
        hint=f"did you mean {near!r}?" if near else f"it knows: {', '.join(classes[:20])}",
    )
