"""my-plugin keeps what a section promises: run pytest, or ahl plugins check my-plugin."""

from types import SimpleNamespace

from my_plugin import my_section

from adapterhub_lite.testing import ReportSectionConformance

EVENTS = [
    {"event": "started"},
    {"event": "step", "stage": "training", "done": 1, "total": 2, "loss": 0.7},
    {"event": "step", "stage": "training", "done": 2, "total": 2, "loss": 0.5},
]


class TestMySection(ReportSectionConformance):
    """Each check of the conformance kit becomes a test."""

    name = "my-section"


def test_a_stage_has_a_row_with_its_last_loss() -> None:
    section = my_section(SimpleNamespace(name="tickets", events=EVENTS))  # type: ignore[arg-type]
    assert section is not None
    assert list(section.tables[0].rows) == [["training", 2, "0.5000"]]


def test_a_run_without_steps_has_no_section() -> None:
    assert my_section(SimpleNamespace(name="tickets", events=EVENTS[:1])) is None  # type: ignore[arg-type]
