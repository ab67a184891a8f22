"""A set of rows under check: what was given, what is usable, and how its rows are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from adapterhub_lite.data.clean import UNUSABLE, Cleaned, Flaw, clean
from adapterhub_lite.data.examples import (
    Dialogue,
    Example,
    Examples,
    Question,
    SimilarTexts,
    SourceTarget,
    TaggedWords,
    ValuedText,
)
from adapterhub_lite.data.normalise import normalise_text
from adapterhub_lite.data.report import Finding, Row, Severity, Where
from adapterhub_lite.data.rowsets import labels_of
from adapterhub_lite.data.table import RowSet

EXAMPLES: Final = 3
"""How many cases of a finding are shown, and how many rows of each."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Rows as given, and what cleaning leaves of them; ``sources`` name the file of each row."""

    where: Where
    given: RowSet
    usable: Cleaned[RowSet]
    sources: Sequence[str] = ()

    @classmethod
    def train(cls, rows: RowSet, sources: Sequence[str] = ()) -> "Checked":
        """Training rows, which lose every flaw."""
        return cls("train", rows, clean(rows), sources)

    @classmethod
    def held(cls, where: Where, rows: RowSet, sources: Sequence[str] = ()) -> "Checked":
        """Rows to validate or test on, which lose what is unusable only."""
        return cls(where, rows, clean(rows, UNUSABLE), sources)

    @property
    def rows(self) -> RowSet:
        """The usable rows."""
        return self.usable.rows

    def finding(
        self,
        reason: str,
        severity: Severity,
        detail: str,
        cases: Sequence[Sequence[int]],
        *,
        count: int | None = None,
        labels: tuple[str, ...] = (),
    ) -> Finding:
        """Return a finding about usable rows; ``count`` is the number of cases unless given."""
        places = [[self.usable.kept[index] for index in case[:EXAMPLES]] for case in cases]
        return self.finding_as_given(reason, severity, detail, places, count=count, labels=labels)

    def finding_as_given(
        self,
        reason: str,
        severity: Severity,
        detail: str,
        cases: Sequence[Sequence[int]],
        *,
        count: int | None = None,
        labels: tuple[str, ...] = (),
    ) -> Finding:
        """Return a finding about rows by their places in the set as given."""
        shown = tuple(tuple(map(self._row, case[:EXAMPLES])) for case in cases[:EXAMPLES])
        total = len(cases) if count is None else count
        return Finding(self.where, reason, severity, total, "row", detail, shown, labels)

    def about_labels(self, reason: str, labels: Sequence[str], detail: str) -> Finding:
        """Return a warning about classes."""
        return Finding(
            self.where, reason, "warning", len(labels), "class", detail, labels=tuple(labels)
        )

    def _row(self, place: int) -> Row:
        source = self.sources[place] if self.sources else ""
        # The rows of a source lie together, so they are counted from where it begins.
        first = self.sources.index(source) if self.sources else 0
        return Row(place - first + 1, _short(self.given.keys[place]), self._shown(place), source)

    def _shown(self, place: int) -> tuple[str, ...]:
        if isinstance(self.given, Examples):
            return _truth(self.given.items[place])
        return labels_of(self.given)[place]


def _truth(item: Example) -> tuple[str, ...]:
    """Return what is true of a row, for a person to see; nothing where that is the text itself."""
    if isinstance(item, TaggedWords):
        return tuple(dict.fromkeys(item.tags))
    if isinstance(item, ValuedText):
        return (f"{item.value:g}",)
    if isinstance(item, SimilarTexts):
        return () if item.value is None else (f"{item.value:g}",)
    if isinstance(item, Question):
        return tuple(map(_short, item.answers))
    if isinstance(item, Dialogue):
        return (_short(item.truth),) if item.messages else ()
    return (_short(item.target),) if isinstance(item, SourceTarget) else ()


def _short(text: str, width: int = 80) -> str:
    line = normalise_text(text[: 20 * width])
    return line if len(line) <= width else f"{line[: width - 1]}…"


DROPPED: Final = "dropped before training"
KEPT: Final = "kept, so that scores stay comparable"


def flaw_detail(flaw: Flaw, where: Where) -> str:
    """Return what becomes of rows with a flaw."""
    if flaw in UNUSABLE:
        return DROPPED if where == "train" else "dropped before testing"
    conflict = "one text, several labels: "
    if where != "train":
        return f"{conflict}{KEPT}" if flaw is Flaw.CONFLICT else KEPT
    if flaw is Flaw.CONFLICT:
        return f"{conflict}all its rows are dropped before training"
    return "the first is kept, these are dropped before training"
