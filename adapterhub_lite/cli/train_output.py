"""How ``ahl train`` and ``ahl fewshot`` show a result."""

import json
import shlex
from typing import Any

import click

from adapterhub_lite.cli.common import emit_json, print_table, settings
from adapterhub_lite.data.prepare import check_command
from adapterhub_lite.training.plan import Plan
from adapterhub_lite.training.results import SeedResult, TrainResult
from adapterhub_lite.wording import counted


def show_result(result: TrainResult, as_json: bool) -> None:
    """Print scores, what was kept and why, the version, the report and what to do next."""
    if as_json:
        emit_json(result.to_json())
        return
    best = result.best
    click.echo(f"data       {_data_line(result.plan)}")
    if len(result.seeds) > 1:
        _show_seeds(result)
    if best.test:
        _show_scores(best)
    click.echo(f"kept       {best.kept}: {best.reason}")
    if best.test is None:
        click.echo("scores     none on test rows; give --test FILE or --holdout 0.2")
    version = str(result.version) if result.version else "not published; give --name NAME"
    if result.version and result.plan.recipe.alias:
        version += f", and {result.version.name}@{result.plan.recipe.alias} points to it"
    click.echo(f"version    {version}")
    click.echo(f"report     {result.report}")
    if result.version:
        click.echo(f"\nnext:  {_next_command(result)}")


def _data_line(plan: Plan) -> str:
    """Say what became of the rows: those left out, and what the checks found."""
    removed = [f"{n} {flaw}" for counts in plan.data.removed.values() for flaw, n in counts.items()]
    left_out = f"left out: {', '.join(removed)}" if removed else "no row left out"
    findings = plan.data.report.findings
    command = check_command(plan.recipe.data, plan.objective.spec.rows)
    found = f"; {counted(len(findings), 'finding')}, see: {command}" if findings else ""
    classes = plan.data.train.classes
    labels = f" with {counted(len(classes), 'label')}" if classes else ""
    rows = counted(len(plan.data.train), "row")
    validation = f", {len(plan.data.validation):,} to validate" if plan.data.validation else ""
    return f"{rows} to train on{labels}{validation}, {left_out}{found}"


def _show_scores(best: SeedResult) -> None:
    assert best.test is not None
    width = max((len(metric.name) for metric in best.test.metrics), default=0) + 2
    for metric in best.test.metrics:
        low, high = metric.interval
        baseline = f"  frozen baseline {best.baseline.shown(metric.name)}" if best.baseline else ""
        click.echo(
            f"{metric.name:<{width}}{metric.value:.4f}  (95 %: {low:.4f} to {high:.4f}){baseline}"
        )
    rows = counted(best.test.rows, "test row")
    click.echo(f"{'':<{width}}on {rows}, {best.seconds:.1f} CPU s to fit")
    for note in best.test.notes:
        click.echo(f"{'':<{width}}{note}")
    for source, evaluation in best.by_source.items():
        if head := evaluation.headline:
            click.echo(f"{source}: {head.name} {head.value:.4f} on {evaluation.rows} test rows")


def _show_seeds(result: TrainResult) -> None:
    headline = result.best.test.headline if result.best.test else None
    head = headline.name if headline else "score"
    rows = [
        (
            f"{seed.seed}{' *' if seed.seed == result.best.seed else ''}",
            seed.kept,
            f"{seed.selection:.4f}" if seed.selection is not None else "",
            seed.test.shown(head) if seed.test else "",
            seed.baseline.shown(head) if seed.baseline else "",
            f"{seed.seconds:.1f}",
        )
        for seed in result.seeds
    ]
    print_table(["seed", "kept", "validation", f"test {head}", "baseline", "CPU s"], rows)
    mean, interval = result.over_seeds(head) or (0.0, None)
    if interval:
        low, high = interval
        click.echo(
            f"mean {head} over {len(rows)} seeds: {mean:.4f} (95 %: {low:.4f} to {high:.4f})"
        )
    known = any(seed.selection is not None for seed in result.seeds)
    how = (
        "the best by its validation score" if known else "the first: no seed has a validation score"
    )
    click.echo(f"* published: {how}, never by the test rows\n")


def _next_command(result: TrainResult) -> str:
    """Return a command to try; the text is the data's, so it is quoted against the shell."""
    rows = result.plan.data.test or result.plan.data.train
    inputs = rows.inputs
    if rows.kind == "similar-texts":  # trained on pairs, asked with one text
        inputs = tuple(text for pair in inputs for text in pair)
    shortest = min(inputs, key=lambda asked: len(str(asked)))
    words = ["ahl", "predict", str(result.version), *_as_arguments(shortest)]
    home = settings().home
    return shlex.join([*words, "--home", str(home)] if home else words)


def _as_arguments(asked: Any) -> list[str]:
    """Return an input as the words of a command line: a text, or JSON for what is no text."""
    return [asked[:60] if isinstance(asked, str) else json.dumps(asked, ensure_ascii=False)]
