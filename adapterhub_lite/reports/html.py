"""The HTML report of a run: one self-contained file."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.reports.curves import read_curves
from adapterhub_lite.reports.sections import ReportedRun, make_sections
from adapterhub_lite.specs import Task
from adapterhub_lite.training.events import read_events
from adapterhub_lite.training.notices import notice
from adapterhub_lite.training.results import over_seeds

if TYPE_CHECKING:
    from jinja2 import Template

    from adapterhub_lite.training.plan import Plan
    from adapterhub_lite.training.results import SeedResult

TEMPLATES = Path(__file__).parent / "templates"
MISTAKES: Final[Mapping[Task, str]] = {
    "text-classification": "Surest mistakes",
    "token-classification": "Rows with the most wrong tags",
    "text-regression": "Farthest off",
    "question-answering": "Surest wrong answers",
    "text-generation": "Answers that differ, least expected first",
    "text2text-generation": "Texts that differ, least expected first",
}
"""Task → what the table of mistakes shows, in its order."""


def write_report(
    file: Path,
    plan: "Plan",
    best: "SeedResult",
    seeds: "Sequence[SeedResult]",
    events: Path,
    catalogue: Catalogue,
) -> None:
    """Write the report of a run to ``file``; the curves come from the run's events file.

    Plugins add their sections; one that fails leaves a line in its place.
    """
    happened = read_events(events)
    content = _content(plan, best, seeds, happened)
    run = ReportedRun(
        name=content["title"],
        task=plan.objective.spec.task,
        recipe=plan.resolved_recipe(),
        best=best,
        seeds=tuple(seeds),
        events=happened,
    )
    sections = make_sections(run, catalogue)
    html = _template().render(content, sections=sections)
    file.write_text(html, encoding="utf-8")


@cache
def _template() -> "Template":
    """Compile the template once a process, which takes longer than most pages do."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _content(
    plan: "Plan",
    best: "SeedResult",
    seeds: "Sequence[SeedResult]",
    happened: Sequence[Mapping[str, Any]],
) -> Mapping[str, Any]:
    import yaml

    task = plan.objective.spec.task
    return {
        "title": plan.recipe.publish or "unpublished run",
        "plan": plan,
        "best": best,
        "seeds": seeds,
        "classes": plan.data.train.classes,
        "share": f"{100 * plan.trainable / plan.architecture.parameters:.3g} %",
        "metrics": _metric_rows(best, seeds),
        "mistakes_title": MISTAKES.get(task, "Mistakes"),
        "labels_title": "Tags" if task == "token-classification" else "Labels",
        "curves": _curves(happened),
        "notices": list(dict.fromkeys(filter(None, map(notice, happened)))),
        "recipe": yaml.safe_dump(plan.resolved_recipe(), sort_keys=False, allow_unicode=True),
        "findings": plan.data.report.findings,
        "removed": [f"{n} {flaw}" for c in plan.data.removed.values() for flaw, n in c.items()],
    }


def _metric_rows(
    best: "SeedResult", seeds: "Sequence[SeedResult]"
) -> list[tuple[str, str, str, str]]:
    """Return a row a metric: name, value with interval, frozen baseline, mean over seeds."""
    if best.test is None:
        return []
    rows = []
    for metric in best.test.metrics:
        baseline = best.baseline.shown(metric.name) if best.baseline else ""
        low, high = metric.interval
        value = f"{metric.value:.4f} ({low:.4f} to {high:.4f})"
        rows.append((metric.name, value, baseline, _mean_text(seeds, metric.name)))
    return rows


def _mean_text(seeds: "Sequence[SeedResult]", metric: str) -> str:
    mean, interval = over_seeds(tuple(seeds), metric) or (0.0, None)
    if interval is None:
        return ""
    low, high = interval
    return f"{mean:.4f} ({low:.4f} to {high:.4f})"


def _curves(events: Sequence[Mapping[str, Any]]) -> str:
    panels = read_curves(events)
    if not panels:
        return ""
    from adapterhub_lite.reports.plots import curves_png

    return b64encode(curves_png(panels)).decode("ascii")
