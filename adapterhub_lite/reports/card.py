"""The model card: ``README.md`` with the metadata that the hub reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.reports.markdown import cell, code
from adapterhub_lite.reports.metadata import (
    front_matter,
    hub_model,
    license_of,
    model_index,
    name_test_rows,
    task_of,
)
from adapterhub_lite.reports.usage import library_of, usage
from adapterhub_lite.specs import Task

if TYPE_CHECKING:
    from adapterhub_lite.evaluation import Evaluation
    from adapterhub_lite.training.plan import Plan
    from adapterhub_lite.training.results import SeedResult

KINDS: Final[Mapping[Task, str]] = {
    "text-classification": "A text classifier",
    "token-classification": "A tagger of words",
    "text-regression": "A model that gives a text a number",
    "question-answering": "A model that finds the answer to a question in a context",
    "text-generation": "A language model",
    "text2text-generation": "A model that turns one text into another",
    "sentence-similarity": "A model of sentence embeddings",
}
MOST_LABELS = 200


def write_card(file: Path, plan: "Plan", best: "SeedResult", seeds: "Sequence[SeedResult]") -> None:
    """Write a version's card: what it is, how it scored, how to use it.

    The version's other files are there already, beside ``file``: they say who can load them.
    """
    name = plan.recipe.publish or "model"
    parts = [
        front_matter(_metadata(file.parent, plan, best, name)),
        f"# {name}",
        _summary(plan, best),
        _scores(best, seeds),
        _by_source(best.by_source),
        usage(file.parent, plan, name),
        _labels(plan),
    ]
    file.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def _labels(plan: "Plan") -> str:
    labels = plan.data.train.classes
    if not labels:
        return ""
    what = "Tags" if plan.objective.spec.task == "token-classification" else "Labels"
    more = f", and {len(labels) - MOST_LABELS} more" if len(labels) > MOST_LABELS else ""
    return f"{what}: " + ", ".join(code(label) for label in labels[:MOST_LABELS]) + more


def _metadata(folder: Path, plan: "Plan", best: "SeedResult", name: str) -> dict[str, Any]:
    task = task_of(plan.objective.spec.task)
    base = hub_model(plan.base.ref, plan.base.revision)
    relation = "adapter" if plan.method.spec.needs_base else "finetune"
    data = plan.recipe.data
    rows = name_test_rows(data.test_files.values(), data.training_files.values())
    scores = [(metric.name, metric.value) for metric in best.test.metrics] if best.test else []
    return {
        "library_name": library_of(folder, plan),
        **license_of(plan.recipe.license),
        "pipeline_tag": task,
        **({"base_model": base, "base_model_relation": relation} if base else {}),
        "tags": ["adapterhub-lite", plan.objective.spec.name, plan.method.spec.name],
        **({"metrics": [metric for metric, _ in scores]} if scores else {}),
        **model_index(name, task, rows, scores),
    }


def _summary(plan: "Plan", best: "SeedResult") -> str:
    spec, classes = plan.objective.spec, len(plan.data.train.classes)
    what = "tags" if spec.task == "token-classification" else "labels"
    labels = f" with {classes} {what}" if classes else ""
    share = 100 * plan.trainable / plan.architecture.parameters
    if len(best.candidates) > 1:
        kept = f"The {best.kept} encoder was kept: {best.reason}."
    else:
        kept = f"{best.reason[:1].upper()}{best.reason[1:]}."
    return (
        f"{KINDS[spec.task]}{labels}, trained on {best.rows} rows from `{plan.base.ref}` by "
        f"adapterhub-lite (method `{plan.method.spec.name}`, objective `{spec.name}`, loader "
        f"`{plan.loader.spec.name}`); {plan.trainable:,} weights could learn, {share:.3g} % of the "
        f"base's. {kept}"
    )


def _scores(best: "SeedResult", seeds: "Sequence[SeedResult]") -> str:
    test = best.test
    if test is None:
        return "It was not scored on test rows."
    head, rule = "| metric | value | 95 % interval |", "|---|---|---|"
    if best.baseline:
        head, rule = f"{head} frozen baseline |", f"{rule}---|"
    lines = [f"## Scores on {test.rows} test rows", ""]
    lines += [head, rule] if test.metrics else ["No metric is defined on them."]
    for metric in test.metrics:
        low, high = metric.interval
        row = f"| {metric.name} | {metric.value:.4f} | {low:.4f} to {high:.4f} |"
        lines.append(f"{row} {best.baseline.shown(metric.name)} |" if best.baseline else row)
    for note in test.notes:
        lines += ["", f"{note[:1].upper()}{note[1:]}."]
    signatures = [f"{m.name}: `{m.signature}`" for m in test.metrics if m.signature]
    if signatures:
        lines += ["", f"Computed as {'; '.join(signatures)}."]
    if len(seeds) > 1:
        chosen = "cross-validation" if len(best.candidates) > 1 else "its validation score"
        lines += ["", f"Seed {best.seed} of {len(seeds)}, chosen by {chosen}."]
    return "\n".join(lines)


def _by_source(by_source: "Mapping[str, Evaluation]") -> str:
    if not by_source:
        return ""
    lines = ["| data set | test rows | score | 95 % interval |", "|---|---|---|---|"]
    for source, own in by_source.items():
        if head := own.headline:
            low, high = head.interval
            score = f"{head.name} {head.value:.4f}"
            lines.append(f"| {cell(source)} | {own.rows} | {score} | {low:.4f} to {high:.4f} |")
    return "\n".join(lines)
