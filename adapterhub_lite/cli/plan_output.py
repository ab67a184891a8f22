"""How ``ahl plan`` and ``--dry-run`` show what a recipe would do."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.cli.common import emit_json
from adapterhub_lite.training.memory import MemoryEstimate
from adapterhub_lite.training.plan import Plan
from adapterhub_lite.training.preview import (
    Piece,
    RowsPreview,
    ShownSample,
    preview_json,
    preview_rows,
)

SAMPLES = 5
OPEN, CLOSE = "\u2039", "\u203a"
"""Stand around tokens that are learnt."""
LONGEST_PIECE = 240
"""So many characters of neighbouring tokens are shown; JSON has them all."""


def show_plan(plan: Plan, catalogue: Catalogue, as_json: bool) -> None:
    """Print what a run would do: recipe, parameters, memory, data, rows as tokens."""
    preview = preview_rows(plan, catalogue)
    memory = plan.memory_with(preview.longest) if preview else plan.memory
    rows = plan.training_rows(plan.recipe.seed)
    step = max(1, len(rows) // SAMPLES)
    records = [rows.records[i] for i in range(0, len(rows), step)][:SAMPLES]
    if as_json:
        emit_json(_plan_json(plan, memory, len(rows), records, preview))
        return
    import yaml

    click.echo(yaml.safe_dump(plan.resolved_recipe(), sort_keys=False, allow_unicode=True))
    for name, value in _facts(plan, memory, len(rows), rows.classes):
        click.echo(f"{name:<12}{value}")
    if preview is None:
        click.echo("\nsampled rows:")
        for record in records:
            click.echo(f"  {json.dumps(record, ensure_ascii=False)[:120]}")
    else:
        _show_preview(preview)
    click.echo("\n--dry-run: no weights were loaded, and nothing is published")


def _facts(
    plan: Plan, memory: MemoryEstimate, rows: int, classes: Sequence[str]
) -> Iterator[tuple[str, str]]:
    share = 100 * plan.trainable / plan.architecture.parameters
    yield "base", f"{plan.base.ref} ({plan.architecture.model_type}, {plan.base.path})"
    yield "parameters", f"{plan.architecture.parameters:,}"
    yield "trainable", f"{plan.trainable:,} ({share:.3g} %)"
    yield from _memory(memory)
    labels = f", {len(classes)} labels" if classes else ""
    counts = [f"{rows:,} to train{labels}"]
    if plan.data.validation:
        counts.append(f"{len(plan.data.validation):,} to validate")
    counts.append(f"{len(plan.data.test):,} to test" if plan.data.test else "none to test")
    yield "rows", "; ".join(counts)


def _memory(memory: MemoryEstimate) -> Iterator[tuple[str, str]]:
    yield (
        "memory",
        f"{_mebibytes(memory.weights)} weights, {_mebibytes(memory.gradients)} gradients, "
        f"{_mebibytes(memory.optimiser)} optimiser",
    )
    if memory.activations is None:
        yield "", "activations come on top"
    else:
        yield "", f"activations: roughly {_mebibytes(memory.activations)} in a batch of long rows"


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB" if count >= 2**20 else f"{count / 2**10:,.0f} KiB"


def _show_preview(preview: RowsPreview) -> None:
    whole = preview.rows == preview.of
    place = "" if whole else f"in a sample of {preview.rows:,} of {preview.of:,} rows: "
    for note in preview.notes:
        click.echo(f"{'note':<12}{place}{note}")
    click.echo(f"\nrows as tokens; what stands in {OPEN} {CLOSE} is learnt:")
    for shown in preview.samples:
        click.echo(_line(shown))


def _line(shown: ShownSample) -> str:
    sample = shown.sample
    part = f"{sample.part}: " if sample.part else ""
    text = " ".join(_styled(piece, bool(sample.learnt)) for piece in shown.pieces)
    cut = click.style(f" … {sample.cut:,} more tokens are cut", dim=True) if sample.cut else ""
    target = click.style(f" → {_short(sample.target)}", bold=True) if sample.target else ""
    return f"  {sample.row + 1:>5}  {part}{text}{cut}{target}"


def _styled(piece: Piece, masked: bool) -> str:
    """Mark what is learnt, and dim the rest where a sample has both."""
    text = _short(piece.text)
    if piece.learnt:
        label = click.style(f" {piece.label}", fg="cyan") if piece.label else ""
        return f"{OPEN}{click.style(text, fg='green')}{label}{CLOSE}"
    return click.style(text, dim=True) if masked else text


def _short(text: str) -> str:
    """Return a text on one line, its line ends visible, without the middle if it is long."""
    line = text.replace("\n", "⏎").strip()
    if not line.isprintable():  # a stranger's text sends no terminal codes
        line = "".join(letter if letter.isprintable() else "�" for letter in line)
    half = LONGEST_PIECE // 2
    return line if len(line) <= LONGEST_PIECE else f"{line[:half]} … {line[-half:]}"


def _plan_json(
    plan: Plan,
    memory: MemoryEstimate,
    rows: int,
    records: list[list[Any]],
    preview: RowsPreview | None,
) -> dict[str, Any]:
    return {
        "recipe": plan.resolved_recipe(),
        "base": {"ref": plan.base.ref, "path": plan.base.path, "source": plan.base.source},
        "parameters": plan.architecture.parameters,
        "trainable": plan.trainable,
        "memory_bytes": {
            "weights": memory.weights,
            "gradients": memory.gradients,
            "optimiser": memory.optimiser,
            "activations": memory.activations,
        },
        "training_rows": rows,
        "validation_rows": len(plan.data.validation) if plan.data.validation else 0,
        "test_rows": len(plan.data.test) if plan.data.test else 0,
        "labels": list(plan.data.train.classes),
        "samples": records,
        "tokenised": preview_json(preview) if preview else None,
    }
