"""Sections that plugins add to the HTML report: plain text in, escaped and laid out here."""

import logging
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.plugins import one_line
from adapterhub_lite.plugins.admitted import Offer
from adapterhub_lite.specs import ReportSectionSpec, Task

if TYPE_CHECKING:
    from adapterhub_lite.training.results import SeedResult

logger = logging.getLogger(__name__)

PNG: Final = b"\x89PNG\r\n\x1a\n"
"""How a PNG picture begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRun:
    """What a section is made of: a finished training.

    ``recipe`` has every parameter spelled out; ``best`` is the seed whose model was kept, one of
    ``seeds``; ``events`` are those of ``events.jsonl``.
    """

    name: str
    task: Task
    recipe: Mapping[str, Any]
    best: "SeedResult"
    seeds: "Sequence[SeedResult]"
    events: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table: heads, and rows of as many cells; numbers are set to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | int | float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the report, in plain text. ``figure`` is a PNG picture, ``caption`` its words."""

    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figure: bytes = b""
    caption: str = ""


class ReportSection(Protocol):
    """What stands behind a :class:`~adapterhub_lite.specs.ReportSectionSpec`."""

    def __call__(self, run: ReportedRun) -> Section | None:
        """Return the section, or None where there is nothing to say."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A section as the template takes it; ``failure`` says why there is none."""

    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[tuple[Sequence[str], Sequence[Sequence[tuple[str, bool]]]]] = ()
    figure: str = ""
    caption: str = ""
    failure: str = ""


def make_sections(run: ReportedRun, catalogue: Catalogue) -> list[Shown]:
    """Ask every plugin for its sections; one that fails becomes a line, and costs nothing else."""
    shown = []
    for offer in catalogue.usable("report section"):
        assert isinstance(offer.spec, ReportSectionSpec), "offers are checked when collected"
        if run.task not in offer.spec.tasks:
            continue
        try:
            section = catalogue.implementation(offer.spec)(run)
            if section is not None:
                shown.append(_checked(section))
        except Exception as error:
            shown.append(_failed(offer, error))
    return shown


def _failed(offer: Offer, error: Exception) -> Shown:
    who = f"{offer.spec.name!r} of {offer.source.distribution} {offer.source.version}"
    failure = f"The section {who} could not be made: {one_line(error)}"
    logger.warning("%s", failure)
    return Shown(offer.spec.name, failure=failure)


def _checked(section: object) -> Shown:
    """Return a section as text; raises TypeError or ValueError for what is none."""
    if not isinstance(section, Section):
        raise TypeError(f"it returned {type(section).__name__}, not Section")
    for text in (section.title, section.caption, *section.paragraphs):
        if not isinstance(text, str):
            raise TypeError(f"{text!r} is no text")
    if not section.title:
        raise ValueError("it has no title")
    if section.figure and not section.figure.startswith(PNG):
        raise ValueError("its figure is no PNG picture")
    return Shown(
        section.title,
        list(section.paragraphs),
        [_cells(table) for table in section.tables],
        b64encode(section.figure).decode("ascii"),
        section.caption,
    )


def _cells(table: Table) -> tuple[Sequence[str], Sequence[Sequence[tuple[str, bool]]]]:
    """Return a table's heads, and its cells as text, each with whether it is a number."""
    columns = [str(column) for column in table.columns]
    rows = [[_cell(value) for value in row] for row in table.rows]
    if uneven := [row for row in rows if len(row) != len(columns)]:
        raise ValueError(f"a row has {len(uneven[0])} cells under {len(columns)} heads")
    return columns, rows


def _cell(value: str | int | float) -> tuple[str, bool]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (f"{value:.4g}" if isinstance(value, float) else str(value)), number
