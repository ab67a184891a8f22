"""my-plugin: a section of the HTML report of a run: how often it reported, and its last loss."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ReportSectionSpec

if TYPE_CHECKING:
    from adapterhub_lite.reports.sections import ReportedRun, Section


@hookimpl
def adapterhub_report_sections() -> Iterable[ReportSectionSpec]:
    """Offer the section; it is asked for every task."""
    yield ReportSectionSpec(
        name="my-section",
        summary="How far each stage of the training went, and its last loss.",
        implementation="my_plugin:my_section",
    )


def my_section(run: ReportedRun) -> Section | None:
    """Return a table of the run's stages, or None where nothing was learnt by steps.

    All is plain text: the report escapes it and lays it out.
    """
    from adapterhub_lite.reports.sections import Section, Table

    last = {event["stage"]: event for event in run.events if event["event"] == "step"}
    rows = [
        [stage, event["done"], f"{event['loss']:.4f}" if "loss" in event else ""]
        for stage, event in last.items()
    ]
    if not rows:
        return None
    return Section(
        title="Stages",
        paragraphs=[f"The training of {run.name} went through {len(rows)} stages."],
        tables=[Table(columns=["stage", "steps", "last loss"], rows=rows)],
    )
