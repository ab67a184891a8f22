"""Plugins add sections to the report; whatever they return, the report stays whole and safe."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.reports.sections import ReportedRun, Section, Table
from adapterhub_lite.specs import ReportSectionSpec
from tests.unit.training.test_reports import (
    JINJA,
    QUOTES,
    SCRIPT,
    Page,
    plan_of,
    report_of,
    seed_result,
)

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
LABELS = ("cat", "dog")
SAID: dict[str, Any] = {}


def say(run: ReportedRun) -> Any:
    """Return what the test wants said, and remember what was asked."""
    SAID["run"] = run
    answer = SAID["answer"]
    if isinstance(answer, BaseException):
        raise answer
    return answer


def offering(lab: Any, **changes: Any) -> Catalogue:
    spec = {"name": "energy", "summary": "", "implementation": f"{__name__}:say", **changes}
    found: Catalogue = lab.catalogue_with(
        adapterhub_report_sections=lambda: [ReportSectionSpec(**spec)]
    )
    return found


@pytest.fixture
def report(lab: Any, tmp_path: Path) -> Callable[..., tuple[str, Page]]:
    """Write a report to which the plugin adds ``answer``."""

    def write(answer: Any, **changes: Any) -> tuple[str, Page]:
        SAID.clear()
        SAID["answer"] = answer
        seeds = [seed_result(LABELS)]
        return report_of(plan_of(lab, LABELS), seeds, tmp_path, offering(lab, **changes))

    return write


def test_a_section_is_laid_out(report: Any) -> None:
    table = Table(columns=("seed", "kWh"), rows=((1, 0.123456), ("all", 7)))
    section = Section(
        title="Energy", paragraphs=("It was hot.",), tables=(table,), figure=PNG, caption="Watts."
    )
    html, page = report(section)
    assert "<h2>Energy</h2>\n<p>It was hot.</p>" in html
    assert '<td class="number">0.1235</td>' in html
    assert "<td>all</td>" in html
    assert page.images[-2].startswith("data:image/png;base64,iVBORw0KGgo")
    assert "Watts." in page.text
    assert "could not be made" not in page.text


def test_a_section_is_told_of_the_run(report: Any, lab: Any) -> None:
    report(None)
    run = SAID["run"]
    assert (run.name, run.task) == ("shares", "text-classification")
    assert run.best is run.seeds[0]
    assert run.recipe["method"] == {"name": "none"}
    assert [event["event"] for event in run.events][:2] == ["started", "step"]


def test_the_confusion_matrix_comes_the_same_way(report: Any) -> None:
    _, page = report(None)
    assert "Confusion matrix Rows are true labels" in page.text
    assert len(page.images) == 2, "the confusion matrix and the losses"


def test_a_section_of_other_tasks_is_not_asked(report: Any) -> None:
    report(None, tasks=frozenset({"text-generation"}))
    assert "run" not in SAID


def test_everything_is_escaped(report: Any) -> None:
    hostile = SCRIPT + JINJA + QUOTES
    html, page = report(
        Section(
            title=hostile,
            paragraphs=(hostile,),
            tables=(Table(columns=(hostile,), rows=((hostile,),)),),
            figure=PNG,
            caption=hostile,
        )
    )
    assert SCRIPT not in html
    assert "script" not in page.tags
    assert page.text.count(SCRIPT) >= 5


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (ValueError(f"no {SCRIPT}\nmeter"), f"ValueError: no {SCRIPT}."),
        ("<b>text</b>", "TypeError: it returned str, not Section."),
        (Section(title=""), "ValueError: it has no title."),
        (Section(title="x", paragraphs=(3,)), "TypeError: 3 is no text."),  # type: ignore[arg-type]
        (Section(title="x", figure=b"GIF89a"), "ValueError: its figure is no PNG picture."),
        (
            Section(title="x", tables=(Table(columns=("a",), rows=((1, 2),)),)),
            "ValueError: a row has 2 cells under 1 heads.",
        ),
        (
            Section(title="x", tables=(3,)),  # type: ignore[arg-type]
            "AttributeError: 'int' object has no attribute 'columns'.",
        ),
    ],
)
def test_a_section_that_fails_is_a_line(
    report: Any, answer: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    html, page = report(answer)
    assert f"The section 'energy' of acme-follower 1.0 could not be made: {why}" in page.text
    assert SCRIPT not in html
    assert "Confusion matrix" in page.text, "the others are there"
    assert "could not be made" in caplog.text


def test_a_section_that_cannot_be_imported_is_a_line(report: Any) -> None:
    _, page = report(None, implementation="no_such_module:section")
    assert "The section 'energy' of acme-follower 1.0 could not be made: PluginError" in page.text


def test_an_interrupt_is_no_failure_of_a_section(report: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        report(KeyboardInterrupt())
