"""What a section of the report is held to: it is made of a tiny training of its task."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from adapterhub_lite import api
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.plugins import PluginSource
from adapterhub_lite.reports.sections import ReportedRun, Shown, make_sections
from adapterhub_lite.specs import ReportSectionSpec, Spec
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.sharing import made_once, needed
from adapterhub_lite.testing.subject import Subject
from adapterhub_lite.testing.tiny import TINY_ROWS, write_tiny_model
from adapterhub_lite.training.events import read_events


def check_makes_a_section(subject: Subject) -> None:
    """Of a finished training it makes a section, or None where there is nothing to say.

    A title, texts, tables with as many cells as heads, and as a figure a PNG picture.
    """
    _sections(subject, _run(subject))


def check_bears_a_run_without_events(subject: Subject) -> None:
    """A run of which no events were kept is no error.

    Return None, or say in the section that nothing is known.
    """
    run = needed(_run, check_makes_a_section.__name__, subject)
    needed(_sections, check_makes_a_section.__name__, subject, run)
    _sections(subject, replace(run, events=()))


def check_repeats(subject: Subject) -> None:
    """The same run gives the same section.

    A report that is made again should not differ: no times of now, no chance.
    """
    run = needed(_run, check_makes_a_section.__name__, subject)
    first = needed(_sections, check_makes_a_section.__name__, subject, run)
    if _sections(subject, run) != first:
        raise CheckFailedError("a second time the section is another")


def _run(subject: Subject) -> ReportedRun:
    spec = subject.offer.spec
    assert isinstance(spec, ReportSectionSpec), "the suite gives these checks sections"
    if "text-classification" not in spec.tasks:
        raise NotApplicableError("it is not for text classification, which the checks train")
    return made_once(subject, "reported run", lambda: _trained(subject))


def _trained(subject: Subject) -> ReportedRun:
    """Train a classifier for two steps, without publishing it."""
    base, rows = subject.shared / "section-base", subject.shared / "section-rows.csv"
    if not base.exists():
        write_tiny_model(base)
    with rows.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("text", "label"), *TINY_ROWS])
    recipe: dict[str, Any] = {
        "base": str(base),
        "method": "full",
        "objective": {"name": "classification", "max_steps": 2},
        "data": {"train": str(rows)},
        "publish": "reported",
    }
    registry = api.open_registry(subject.shared / "section-registry")
    done = api.train(recipe, registry=registry, catalogue=subject.catalogue)
    return ReportedRun(
        name="reported",
        task="text-classification",
        recipe=done.plan.resolved_recipe(),
        best=done.best,
        seeds=done.seeds,
        events=read_events(done.folder / "events.jsonl"),
    )


def _sections(subject: Subject, run: ReportedRun) -> Sequence[Shown]:
    """Make the section as a report does; raises CheckFailedError where it cannot be shown."""
    spec = subject.offer.spec
    source = subject.offer.source
    alone = PluginSource(source.name, source.distribution, source.version, lambda: _Plugin(spec))
    catalogue = Catalogue([alone])
    made = make_sections(run, catalogue)
    for section in made:
        if section.failure:
            raise CheckFailedError(section.failure)
    return made


class _Plugin:
    """A plugin that offers the section under check, and nothing else."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec

    @hookimpl
    def adapterhub_report_sections(self) -> list[Spec]:
        return [self._spec]


CHECKS: Final = (check_makes_a_section, check_bears_a_run_without_events, check_repeats)
