"""What the registry's commands share: opening it, and how they spell sizes and times."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.common import emit_json, print_table, settings

if TYPE_CHECKING:
    from adapterhub_lite_registry import Entry, Problem, Registry


def open_registry() -> "Registry":
    """Open the registry of the running command; NotFoundError if there is none."""
    from adapterhub_lite_registry import Registry

    return Registry.open(settings().home, create=False)


def open_if_there() -> "Registry | None":
    """Open the registry of the running command; None if there is none yet."""
    from adapterhub_lite_registry import NotFoundError

    try:
        return open_registry()
    except NotFoundError:
        return None


def say_empty() -> None:
    """Say where nothing is published yet, and what to do about it."""
    from adapterhub_lite_registry import default_home

    click.echo(f"nothing is published in {settings().home or default_home()} yet")
    click.echo("  start with: ahl fewshot TRAIN.csv --name my-classifier")


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet; UserError where it is."""
    from adapterhub_lite.errors import UserError

    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UserError(
            f"{path} is there already", hint="remove it first, or write to another file"
        ) from None


def human_size(size: int) -> str:
    """Spell a number of bytes as people do: ``4.2 MB``."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def human_time(stamp: str, now: datetime | None = None) -> str:
    """Spell a time as people do: ``5 minutes ago``, and the date when it is long past."""
    then = datetime.fromisoformat(stamp)
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    for unit, length, below in (
        ("minute", 60, 3600),
        ("hour", 3600, 86400),
        ("day", 86400, 864000),
    ):
        if seconds < 60:
            return "just now"
        if seconds < below:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return then.astimezone().strftime("%Y-%m-%d %H:%M")


def human_metrics(metrics: Mapping[str, float], wanted: Iterable[str] = ()) -> str:
    """Spell two metrics: those ``wanted`` first, then the version's own, not its baseline's."""
    own = [name for name in metrics if not name.startswith(("baseline_", "cv_"))]
    names = [name for name in dict.fromkeys([*wanted, *own]) if name in metrics]
    return ", ".join(f"{name} {metrics[name]:.4g}" for name in names[:2])


def emit_entries(registry: "Registry", entries: "list[Entry]") -> None:
    """Print entries of the index as JSON."""
    damaged = registry.damaged()
    emit_json(
        [
            {
                "ref": str(entry),
                **vars(entry),
                "aliases": _pointing(registry.aliases(entry.name), entry),
                "damaged": damaged.get(str(entry)),
            }
            for entry in entries
        ]
    )


def show_entries(registry: "Registry", entries: "list[Entry]", wanted: Iterable[str] = ()) -> None:
    """Print entries as a table, with the aliases that point to them."""
    aliases = {name: registry.aliases(name) for name in {entry.name for entry in entries}}
    damaged = registry.damaged()
    rows = []
    for entry in entries:
        rows.append(
            (
                f"{entry} (damaged)" if str(entry) in damaged else entry,
                ", ".join(_pointing(aliases[entry.name], entry)),
                entry.kind,
                entry.method,
                entry.base,
                human_metrics(entry.metrics, wanted),
                human_size(entry.size),
                human_time(entry.created_at),
            )
        )
    columns = ("version", "aliases", "kind", "method", "base", "metrics", "size", "created")
    print_table(columns, rows)
    for entry in entries:
        if reason := damaged.get(str(entry)):
            click.echo(f"warning: {entry} is damaged: {reason}; run: ahl repair {entry}", err=True)


def _pointing(aliases: Mapping[str, int], entry: "Entry") -> list[str]:
    return [alias for alias, number in aliases.items() if number == entry.number]


def warn_unreadable(problems: "list[Problem]") -> None:
    """Say on stderr which versions cannot be listed."""
    for problem in problems:
        click.echo(f"warning: {problem}; run: ahl repair", err=True)
