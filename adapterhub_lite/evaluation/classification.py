"""Score a classifier on rows: every metric that applies, each label, the confusion matrix."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.table import TextSet
from adapterhub_lite.evaluation.intervals import bootstrap_interval
from adapterhub_lite.protocols import Scorer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Truth = NDArray[np.bool_]


HEADLINE = "accuracy"
"""The metric that comes first wherever metrics are listed."""


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A metric's value on some rows, with its 95 % interval."""

    name: str
    value: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class ClassRow:
    """How one label fared; ``support`` counts the rows that carry it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores on ``rows`` rows.

    ``confusion`` is (classes, classes), true label by predicted label; None when rows may carry
    several labels. ``mistakes`` are (text, true, predicted), the surest mistakes first.
    """

    rows: int
    metrics: tuple[MetricValue, ...]
    classes: tuple[ClassRow, ...]
    confusion: tuple[tuple[int, ...], ...] | None
    mistakes: tuple[tuple[str, str, str], ...]

    def value(self, name: str) -> float:
        """Return one metric's value."""
        return next(metric.value for metric in self.metrics if metric.name == name)


def evaluate(
    scorer: Scorer,
    rows: TextSet,
    catalogue: Catalogue,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Score ``rows`` with every metric of the catalogue that fits the task."""
    probabilities = scorer.predict_proba(rows.texts, progress)
    truth = _truth(rows, scorer.classes)
    decision = decide(probabilities, scorer.multi_label, scorer.threshold)
    return Evaluation(
        rows=len(rows),
        metrics=_metrics(truth, decision, probabilities, scorer.multi_label, catalogue),
        classes=_class_rows(truth, decision, scorer.classes),
        confusion=None if scorer.multi_label else _confusion(truth, decision),
        mistakes=_mistakes(rows, decision, probabilities, scorer.classes),
    )


def decide(probabilities: "Floats", multi_label: bool, threshold: float) -> "Truth":
    """Decide by probabilities (rows, classes): the likeliest label, or all past a threshold."""
    import numpy as np

    if multi_label:
        return probabilities >= threshold
    decision = np.zeros(probabilities.shape, dtype=bool)
    decision[np.arange(len(decision)), probabilities.argmax(1)] = True
    return decision


def _truth(rows: TextSet, classes: Sequence[str]) -> "Truth":
    import numpy as np

    column = {name: number for number, name in enumerate(classes)}
    truth = np.zeros((len(rows), len(classes)), dtype=bool)
    for number, labels in enumerate(rows.labels):
        truth[number, [column[label] for label in labels]] = True
    return truth


def _metrics(
    truth: "Truth", decision: "Truth", probabilities: "Floats", multi: bool, catalogue: Catalogue
) -> tuple[MetricValue, ...]:
    values = []
    for name, spec in sorted(catalogue.metrics.items(), key=lambda m: (m[0] != HEADLINE, m[0])):
        if "text-classification" not in spec.tasks or (multi and not spec.multi_label):
            continue
        metric = catalogue.implementation(spec)

        def on_rows(chosen: "NDArray[np.intp]", metric: Callable[..., float] = metric) -> float:
            return metric(truth[chosen], decision[chosen], probabilities[chosen])

        value = metric(truth, decision, probabilities)
        values.append(MetricValue(name, value, bootstrap_interval(on_rows, len(truth))))
    return tuple(values)


def _class_rows(truth: "Truth", decision: "Truth", classes: Sequence[str]) -> tuple[ClassRow, ...]:
    from sklearn.metrics import precision_recall_fscore_support

    columns = precision_recall_fscore_support(truth, decision, average=None, zero_division=0)
    rows = zip(classes, *columns, strict=True)
    return tuple(ClassRow(name, float(p), float(r), float(f), int(n)) for name, p, r, f, n in rows)


def _confusion(truth: "Truth", decision: "Truth") -> tuple[tuple[int, ...], ...]:
    counts = truth.T.astype(int) @ decision.astype(int)
    return tuple(tuple(int(cell) for cell in row) for row in counts)


def _mistakes(
    rows: TextSet,
    decision: "Truth",
    probabilities: "Floats",
    classes: Sequence[str],
    most: int = 20,
) -> tuple[tuple[str, str, str], ...]:
    wrong = []
    for number, labels in enumerate(rows.labels):
        predicted = [classes[i] for i in decision[number].nonzero()[0]]
        if set(predicted) != set(labels):
            entry = (rows.texts[number], ", ".join(sorted(labels)), ", ".join(predicted))
            wrong.append((float(probabilities[number].max()), entry))
    wrong.sort(key=lambda item: -item[0])
    return tuple(entry for _, entry in wrong[:most])
