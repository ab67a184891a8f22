"""What ``ahl diff`` prints."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Final

import click

from adapterhub_lite.cli.common import emit_json, print_table
from adapterhub_lite.merging.diagnosis.diagnose import Diagnosis, Line, Part, Square
from adapterhub_lite.merging.diagnosis.effective_rank import SIDE
from adapterhub_lite.merging.diagnosis.hints import hints, letter
from adapterhub_lite.merging.diagnosis.interference import TOP

MAX_COLUMNS: Final = 4
"""Of more models, a layer's line says the least and the most."""
MAX_DIFFERENCES: Final = 10
WIDEST: Final = 100
UNKNOWN: Final = "-"

Spelling = Callable[[float], str]


def diagnosis_json(diagnosis: Diagnosis, notices: Sequence[str], picture: Path | None) -> None:
    """Print everything as JSON."""
    told = [asdict(hint) for hint in hints(diagnosis)]
    drawn = {"picture": str(picture)} if picture else {}
    emit_json({**asdict(diagnosis), "hints": told, "notices": notices, **drawn})


def print_diagnosis(diagnosis: Diagnosis, notices: Sequence[str], picture: Path | None) -> None:
    """Print models, pairs and layers as tables, then what they suggest."""
    whole = diagnosis.whole
    click.echo(
        f"base {diagnosis.base}: {whole.tensors:,} tensors, {whole.numbers:,} numbers compared\n"
    )
    print_table(
        ("", "model", "change", "of the base", "unchanged", "effective rank"),
        _model_rows(diagnosis),
    )
    if len(diagnosis.models) > 2:
        _print_cosines(whole.cosines)
    print_table(
        ("pair", "cosine", "overlap of the largest", "sign conflicts there", "and everywhere"),
        _pair_rows(whole),
    )
    print_table(_part_columns(diagnosis), (_part_row(part) for part in diagnosis.parts))
    _print_hints(diagnosis)
    _print_differences(diagnosis)
    for note in (*notices, *_notes(diagnosis)):
        click.echo(f"note: {note}", err=True)
    if picture is not None:
        click.echo(f"\npicture  {picture}")


def _model_rows(diagnosis: Diagnosis) -> Iterator[tuple[str, ...]]:
    whole = diagnosis.whole
    for number, name in enumerate(diagnosis.models):
        rank, share = whole.effective_ranks[number], whole.rank_shares[number]
        yield (
            letter(number),
            name,
            _spelt(whole.norms[number], _figure),
            _spelt(whole.relative_norms[number], _percent),
            _spelt(whole.unchanged[number], _percent),
            UNKNOWN if rank is None or share is None else f"{rank:.1f} ({_percent(share)} of full)",
        )


def _print_cosines(cosines: Square) -> None:
    names = [letter(number) for number in range(len(cosines))]
    rows = (
        (name, *(_spelt(value, _cosine) for value in row))
        for name, row in zip(names, cosines, strict=True)
    )
    print_table(("cosine", *names), rows)


def _pair_rows(whole: Part) -> Iterator[tuple[str, ...]]:
    for i, j in combinations(range(len(whole.norms)), 2):
        yield (
            f"{letter(i)} and {letter(j)}",
            _spelt(whole.cosines[i][j], _cosine),
            _spelt(whole.overlaps[i][j], _percent),
            _spelt(whole.top_conflicts[i][j], _percent),
            _spelt(whole.conflicts[i][j], _percent),
        )


def _part_columns(diagnosis: Diagnosis) -> tuple[str, ...]:
    models = len(diagnosis.models)
    names = [letter(number) for number in range(models)] if models <= MAX_COLUMNS else ["change"]
    return ("part", *names, "cosine", "overlap", "conflicts")


def _part_row(part: Part) -> tuple[str, ...]:
    norms = part.relative_norms
    if len(norms) > MAX_COLUMNS:
        changes = [_range(norms, _percent)]
    else:
        changes = [_spelt(norm, _percent) for norm in norms]
    return (
        part.name,
        *changes,
        _range(_upper(part.cosines), _short_cosine),
        _range(_upper(part.overlaps), _percent),
        _range(_upper(part.top_conflicts), _percent),
    )


def _print_hints(diagnosis: Diagnosis) -> None:
    click.echo("what this suggests (rules of thumb: an evaluation decides)")
    for hint in hints(diagnosis):
        _print_wrapped(hint.finding, "  ")
        suits = f"; suits: {', '.join(hint.strategies)}" if hint.strategies else ""
        _print_wrapped(f"{hint.advice}{suits}", "    ")
        _print_wrapped(f"because {hint.rule}", "    ")


def _print_wrapped(text: str, indent: str) -> None:
    width = min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)
    click.echo(click.wrap_text(text, width, indent, indent))


def _print_differences(diagnosis: Diagnosis) -> None:
    found = diagnosis.differences
    if not found:
        return
    click.echo("\nleft out")
    shown = [(one.tensor, one.model, one.reason) for one in found[:MAX_DIFFERENCES]]
    print_table(("tensor", "model", "it is"), shown)
    if len(found) > len(shown):
        click.echo(f"and {len(found) - len(shown):,} more; --json has all")


def _notes(diagnosis: Diagnosis) -> Iterator[str]:
    yield (
        f"the largest are the {100 * TOP:.0f} % of a tensor's entries that changed most; chance"
        f" makes {100 * TOP:.0f} % of them overlap, and half of the signs conflict where both did"
    )
    if diagnosis.matrices:
        yield (
            f"effective ranks are of {diagnosis.judged:,} of {diagnosis.matrices:,} matrices,"
            f" and of {SIDE:,} of their rows where both sides are longer"
        )


def _upper(square: Square) -> Line:
    return tuple(square[i][j] for i, j in combinations(range(len(square)), 2))


def _range(values: Line, spelling: Spelling) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return UNKNOWN
    least, most = spelling(min(known)), spelling(max(known))
    return least if least == most else f"{least.removesuffix(' %')} to {most}"


def _spelt(value: float | None, spelling: Spelling) -> str:
    return UNKNOWN if value is None else spelling(value)


def _figure(value: float) -> str:
    return f"{value:.4g}"


def _cosine(value: float) -> str:
    return f"{value:z.3f}"


def _short_cosine(value: float) -> str:
    return f"{value:z.2f}"


def _percent(value: float) -> str:
    share = 100 * value
    if share >= 9.95 or share == 0:
        nearly = 99.5 <= share < 100  # all but a few is not all
        return f"{min(share, 99.99):.2f} %" if nearly else f"{share:.0f} %"
    return f"{share:.1f} %" if share >= 0.1 else f"{share:.1g} %"
