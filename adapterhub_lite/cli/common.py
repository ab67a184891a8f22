"""What every command shares: its options, its settings, and how it prints."""

import errno
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

USER_FIXABLE = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}
LONGEST_ERROR = 2000


@dataclass
class Settings:
    """The options that every command takes, wherever on the line they stand."""

    home: Path | None = None
    no_plugins: bool = False


def settings() -> Settings:
    """Return the settings of the command that is running."""
    return click.get_current_context().find_root().ensure_object(Settings)


def _set_home(_: click.Context, __: click.Parameter, value: Path | None) -> None:
    if value is not None:
        settings().home = value


def _set_no_plugins(_: click.Context, __: click.Parameter, value: bool) -> None:
    if value:
        settings().no_plugins = True


_SHARED: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        expose_value=False,
        callback=_set_home,
        help="Where the registry lives (default: $ADAPTERHUB_LITE_HOME, else the user's data dir).",
    ),
    click.option(
        "--no-plugins",
        is_flag=True,
        expose_value=False,
        callback=_set_no_plugins,
        help="Use first-party plugins only.",
    ),
    click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks."),
)


def shared_options(function: Any) -> Any:
    """Add ``--home``, ``--no-plugins`` and ``--debug`` to a command; put it under the others."""
    for option in reversed(_SHARED):
        function = option(function)
    return function


def base_options(function: Any) -> Any:
    """Add ``--base`` and ``--any-base``: where an adapter's base lies, or that it is another."""
    for option in (
        click.option("--any-base", is_flag=True, help="Load an adapter onto another base."),
        click.option("--base", help="Where an adapter's base lies, if not where it was."),
    ):
        function = option(function)
    return function


def loader_option(function: Any) -> Any:
    """Add ``--loader``: in which precision a version is loaded."""
    return click.option(
        "--loader",
        metavar="NAME",
        help="Load in another precision than it was trained in: bf16, nf4, ... Answers may differ.",
    )(function)


def input_options(function: Any) -> Any:
    """Add ``--any-base`` and ``--convert-pickle``: what is refused of models unless insisted on."""
    for option in (
        click.option(
            "--convert-pickle",
            is_flag=True,
            help="Read pickled weights (.bin) in an isolated process; nothing in them is run.",
        ),
        click.option(
            "--any-base",
            is_flag=True,
            help="Put adapters on the base given, though trained on another.",
        ),
    ):
        function = option(function)
    return function


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for a script.")


def emit_json(value: Any) -> None:
    """Print ``value`` as one JSON document on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under column heads: fitted to a terminal, never cut when piped."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number == 0, overflow="fold")  # the first is to be copied
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = max(console.width, 10_000)
    console.print(table)


def describe_error(error: Exception) -> tuple[str, str, int]:
    """Return the line, the hint and the exit code for any exception that reaches the top."""
    line, hint, exit_code = _describe(error)
    return harmless(line), harmless(hint), exit_code


def harmless(text: str) -> str:
    """Return text that a terminal shows and does not obey: a stranger's names may be in it."""
    cut = text if len(text) <= LONGEST_ERROR else f"{text[:LONGEST_ERROR]}…"
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in cut)


def _describe(error: Exception) -> tuple[str, str, int]:
    from adapterhub_lite.errors import AdapterHubError

    if isinstance(error, AdapterHubError):
        return error.message, error.hint, error.exit_code
    if isinstance(error, OSError) and error.strerror:
        place = f": {error.filename}" if error.filename else ""
        code = 2 if error.errno in USER_FIXABLE else 1
        return f"{error.strerror.lower()}{place}", "", code
    line = f"{type(error).__name__}: {error}".splitlines()[0]
    return line, "this is a fault of the program; --debug shows where it happened", 1
