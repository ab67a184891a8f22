"""The model card: ``README.md`` with the metadata that the hub reads."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapterhub_lite.training.plan import Plan
    from adapterhub_lite.training.results import SeedResult


def write_card(file: Path, plan: "Plan", best: "SeedResult", seeds: "Sequence[SeedResult]") -> None:
    """Write a version's card: what it is, how it scored, how to use it."""
    import yaml

    front = yaml.safe_dump(_front_matter(plan, best), sort_keys=False, allow_unicode=True)
    name = plan.recipe.publish or "model"
    parts = [
        f"---\n{front}---",
        f"# {name}",
        _summary(plan, best),
        _scores(best, seeds),
        f"## Use\n\n```python\nimport adapterhub_lite\n\n"
        f'adapterhub_lite.load("{name}").predict(["a text"])\n```',
        "Labels: " + ", ".join(_code(label) for label in plan.data.train.classes),
    ]
    file.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def _code(text: str) -> str:
    """Return text as Markdown code: no mark in a label is markup, a backtick neither."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"`{text}`"


def _front_matter(plan: "Plan", best: "SeedResult") -> dict[str, Any]:
    front: dict[str, Any] = {"library_name": "adapterhub-lite"}
    if plan.recipe.license:
        front["license"] = plan.recipe.license
    front |= {
        "pipeline_tag": plan.objective.spec.task,
        "base_model": plan.base.ref,
        "tags": ["adapterhub-lite", plan.objective.spec.name, plan.method.spec.name],
    }
    if best.test:
        front["metrics"] = [metric.name for metric in best.test.metrics]
    return front


def _summary(plan: "Plan", best: "SeedResult") -> str:
    classes = len(plan.data.train.classes)
    return (
        f"A text classifier with {classes} labels, trained on {best.rows} rows from "
        f"`{plan.base.ref}` by adapterhub-lite (method `{plan.method.spec.name}`, objective "
        f"`{plan.objective.spec.name}`). The {best.kept} encoder was kept: {best.reason}."
    )


def _scores(best: "SeedResult", seeds: "Sequence[SeedResult]") -> str:
    if best.test is None:
        return "It was not scored on test rows."
    lines = [
        f"## Scores on {best.test.rows} test rows",
        "",
        "| metric | value | 95 % interval | frozen baseline |",
        "|---|---|---|---|",
    ]
    for metric in best.test.metrics:
        low, high = metric.interval
        baseline = best.baseline.shown(metric.name) if best.baseline else ""
        row = f"| {metric.name} | {metric.value:.4f} | {low:.4f} to {high:.4f} | {baseline} |"
        lines.append(row)
    if len(seeds) > 1:
        lines += ["", f"Seed {best.seed} of {len(seeds)}, chosen by cross-validation."]
    return "\n".join(lines)
