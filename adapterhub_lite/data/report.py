"""What a check of the data found: records for a person and, as JSON, for a script."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Where = Literal["train", "test"]
Severity = Literal["warning", "error"]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a set as it was given, counted from 1: the start of its text, its labels."""

    row: int
    text: str
    labels: tuple[str, ...]


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
class SetSummary:
    """One set of rows. ``classes`` and ``words`` describe the ``usable`` rows.

    ``normalised`` counts the texts that normalising changed.
    """

    rows: int
    usable: int
    normalised: int
    classes: Mapping[str, int]
    words: WordCounts


@dataclass(frozen=True, slots=True)
class DataReport:
    """Everything a check found, most telling first within each set."""

    near_duplicate: float
    train: SetSummary
    test: SetSummary | None
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid training."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def trainable(self) -> bool:
        """Whether nothing forbids training."""
        return not self.errors

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON types, with ``trainable``."""
        return {"trainable": self.trainable, **asdict(self)}
