"""The HTML report of a run: one self-contained file."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.training.events import read_events
from adapterhub_lite.training.results import over_seeds

if TYPE_CHECKING:
    from adapterhub_lite.training.plan import Plan
    from adapterhub_lite.training.results import SeedResult

TEMPLATES = Path(__file__).parent / "templates"
MAX_CURVES = 5


def write_report(
    file: Path, plan: "Plan", best: "SeedResult", seeds: "Sequence[SeedResult]", events: Path
) -> None:
    """Write the report of a run to ``file``; the curves come from the run's events file."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("report.html.j2").render(_content(plan, best, seeds, events))
    file.write_text(html, encoding="utf-8")


def _content(
    plan: "Plan", best: "SeedResult", seeds: "Sequence[SeedResult]", events: Path
) -> Mapping[str, Any]:
    import yaml

    return {
        "title": plan.recipe.publish or "unpublished run",
        "plan": plan,
        "best": best,
        "seeds": seeds,
        "classes": plan.data.train.classes,
        "metrics": _metric_rows(best, seeds),
        "confusion": _confusion(best),
        "curve": _curve(events),
        "recipe": yaml.safe_dump(plan.resolved_recipe(), sort_keys=False, allow_unicode=True),
        "findings": plan.data.report.findings,
        "removed": plan.data.removed,
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


def _confusion(best: "SeedResult") -> str:
    if best.test is None or best.test.confusion is None:
        return ""
    from adapterhub_lite.reports.plots import confusion_png

    labels = [row.label for row in best.test.classes]
    return b64encode(confusion_png(best.test.confusion, labels)).decode("ascii")


def _curve(events: Path) -> str:
    curves: dict[str, list[float]] = {}
    for event in read_events(events):
        if event["event"] == "step" and event.get("stage") == "train" and "loss" in event:
            curves.setdefault(f"seed {event['seed']}", []).append(event["loss"])
    if not curves:
        return ""
    from adapterhub_lite.reports.plots import loss_png

    return b64encode(loss_png(list(curves.items())[:MAX_CURVES])).decode("ascii")
