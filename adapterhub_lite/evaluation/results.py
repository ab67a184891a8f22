"""What scoring rows gave, for a person, a report or a script."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A metric's value on some rows, with its 95 % interval.

    ``signature`` says how it was computed, for metrics that depend on a tokeniser or a version.
    """

    name: str
    value: float
    interval: tuple[float, float]
    signature: str = ""


@dataclass(frozen=True, slots=True)
class ClassRow:
    """How one label or tag fared; ``support`` counts the rows, or words, that carry it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores on ``rows`` rows; the task's headline metric comes first.

    ``classes`` has a row for each label of a classifier, each tag of a tagger. ``confusion`` is
    (classes, classes), true label by predicted label; None where rows do not have one label each.
    ``mistakes`` are (asked, true, answered), the worst first. ``notes`` name the metrics that were
    left out, and why.
    """

    rows: int
    metrics: tuple[MetricValue, ...]
    classes: tuple[ClassRow, ...] = ()
    confusion: tuple[tuple[int, ...], ...] | None = None
    mistakes: tuple[tuple[str, str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def headline(self) -> MetricValue | None:
        """The metric that comes first; None where none could be computed."""
        return self.metrics[0] if self.metrics else None

    def find(self, name: str) -> MetricValue | None:
        """Return one metric; None where it was left out."""
        return next((metric for metric in self.metrics if metric.name == name), None)

    def shown(self, name: str) -> str:
        """Return one metric's value to four places; nothing where it was left out."""
        metric = self.find(name)
        return f"{metric.value:.4f}" if metric else ""

    def value(self, name: str) -> float:
        """Return one metric's value; KeyError where it was left out."""
        metric = self.find(name)
        if metric is None:
            raise KeyError(name)
        return metric.value

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return asdict(self)
