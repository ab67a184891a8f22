"""What a check of the data found: records for a person and, as JSON, for a script."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from adapterhub_lite.specs import RowKind

Where = Literal["train", "validation", "test"]
Severity = Literal["warning", "error"]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a set as it was given, counted from 1: the start of its text, its labels.

    Where a row has no labels, those are what else is true of it: a value, answers, a target.
    ``source`` names the file that the row is counted in, where there are several.
    """

    row: int
    text: str
    labels: tuple[str, ...]
    source: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found. An error means that the rows cannot be trained on.

    ``count`` counts ``unit``; ``detail`` says what it leads to. ``examples`` are the first few
    cases, each of rows that belong together; ``labels`` are all the labels that it is about.
    """

    where: Where
    reason: str
    severity: Severity
    count: int
    unit: Literal["row", "class"]
    detail: str
    examples: tuple[tuple[Row, ...], ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WordCounts:
    """How many words the texts have: the middle one, all but one in twenty, the longest."""

    median: int
    most: int
    longest: int


@dataclass(frozen=True, slots=True)
class ValueRange:
    """The numbers of rows that have one."""

    lowest: float
    mean: float
    highest: float


@dataclass(frozen=True, slots=True)
class SetSummary:
    """One set of rows. ``classes``, ``words`` and ``values`` describe the ``usable`` rows.

    ``normalised`` counts the rows that normalising changed; ``sources`` are the rows of each file,
    where there are several.
    """

    rows: int
    usable: int
    normalised: int
    classes: Mapping[str, int]
    words: WordCounts
    values: ValueRange | None = None
    sources: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DataReport:
    """Everything a check found, most telling first within each set.

    ``rows`` is the kind of the rows; ``scheme`` is the one that tags follow, for tagged words.
    """

    near_duplicate: float
    train: SetSummary
    test: SetSummary | None
    findings: tuple[Finding, ...]
    validation: SetSummary | None = None
    rows: RowKind = "labelled-text"
    scheme: str | None = None

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid training."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def trainable(self) -> bool:
        """Whether nothing forbids training."""
        return not self.errors

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON types, with ``trainable``; rows of an only file name none."""
        return {"trainable": self.trainable, **asdict(self, dict_factory=_without_no_source)}


def _without_no_source(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in items if (name, value) != ("source", "")}
