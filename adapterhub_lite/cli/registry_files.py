"""``ahl path``, ``checkout``, ``verify`` and ``reindex``: the files behind the versions."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.common import emit_json, json_option, shared_options
from adapterhub_lite.cli.registry_common import open_registry

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@click.command("path")
@click.argument("ref")
@json_option
@shared_options
def path(ref: str, as_json: bool) -> None:
    """Print a verified folder with a version's files, to load from."""
    registry = open_registry()
    version = registry.resolve(ref)
    folder = registry.path(version)
    return emit_json({"ref": str(version), "path": folder}) if as_json else click.echo(folder)


@click.command("checkout")
@click.argument("ref")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--link", is_flag=True, help="Share the store's bytes; do not edit the files then.")
@json_option
@shared_options
def checkout(ref: str, directory: Path, link: bool, as_json: bool) -> None:
    """Copy a version's files into a new folder."""
    registry = open_registry()
    version = registry.resolve(ref)
    folder = registry.checkout(version, directory, link=link)
    if as_json:
        return emit_json({"ref": str(version), "path": folder})
    return click.echo(f"{version} → {folder}")


@click.command("verify")
@click.argument("ref", required=False)
@json_option
@shared_options
def verify(ref: str | None, as_json: bool) -> None:
    """Rehash everything, or one version, and list what is damaged."""
    with _LateBar() as bar:
        problems = open_registry().verify(ref, bar.update)
    if as_json:
        emit_json([vars(problem) for problem in problems])
    else:
        for problem in problems:
            click.echo(problem)
        many = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        click.echo(many if problems else "no problems", err=bool(problems))
    if problems:
        raise click.exceptions.Exit(1)


@click.command("reindex")
@json_option
@shared_options
def reindex(as_json: bool) -> None:
    """Rebuild the search index from the files."""
    registry = open_registry()
    count = registry.reindex()
    return emit_json({"versions": count}) if as_json else click.echo(f"indexed {count} versions")


class _LateBar:
    """A progress bar on stderr, for terminals, and only once the work takes longer than this."""

    PATIENCE = 2.0

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> "_LateBar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int) -> None:
        """Show how far the work is."""
        if self._bar is None:
            if time.monotonic() - self._start < self.PATIENCE or not sys.stderr.isatty():
                return
            self._bar = _start_bar()
            self._task = self._bar.add_task("verifying", total=total)
        assert self._task is not None
        self._bar.update(self._task, completed=done)


def _start_bar() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    bar.start()
    return bar
