"""``ahl push``, ``ahl pull`` and ``ahl sync``: to and from places elsewhere."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.common import emit_json, json_option, settings, shared_options

if TYPE_CHECKING:
    from adapterhub_lite.remotes.transfer import Progress

TENTHS = 10


@click.command(short_help="Copy a version to a place elsewhere.")
@click.argument("ref")
@click.argument("remote")
@click.option("--alias", help="Point this alias, there, at the version.")
@click.option("--next", "next_number", is_flag=True,
              help="If its number is another version's there, take the next free one.")  # fmt: skip
@click.option("--with-parents", is_flag=True, help="Push first all that it was made from.")
@click.option("--unsigned", is_flag=True, help="Leave its signatures here.")
@json_option
@shared_options
def push(
    ref: str,
    remote: str,
    alias: str | None,
    next_number: bool,
    with_parents: bool,
    unsigned: bool,
    as_json: bool,
) -> None:
    """Copy the version REF to REMOTE, with its name, number, digest and signatures.

    Files that are there already are not sent, and nothing there is ever replaced. REMOTE is
    file:FOLDER, bundle:FILE, hub:OWNER/NAME, oci://HOST/REPOSITORY, s3://BUCKET/PATH or another
    address that a plugin knows.

    \b
    ahl push tickets@prod file:/srv/adapters --alias prod
    ahl push tickets@7 bundle:tickets.tar
    ahl push tickets s3://our-models/adapters
    ahl push tickets oci://ghcr.io/acme/tickets --with-parents
    ahl push tickets@7 hub:me/tickets
    """
    from adapterhub_lite.cli.registry_common import human_size, open_registry
    from adapterhub_lite.plugins import get_catalogue
    from adapterhub_lite.remotes import push_version

    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    with _progress("sending") as progress:
        done = push_version(
            ref,
            remote,
            open_registry(),
            catalogue,
            alias=alias,
            next_number=next_number,
            with_parents=with_parents,
            unsigned=unsigned,
            progress=progress,
        )
    there = f"{done.version.name}@{done.number}"
    if as_json:
        emit_json(
            {
                "version": str(done.version),
                "digest": done.version.digest,
                "remote": done.remote,
                "there": there,
                "alias": alias,
                "new": done.new,
                "files": done.files,
                "sent": done.sent,
                "bytes": done.bytes,
                "signatures": done.signatures,
                "parents": [str(parent.version) for parent in done.parents],
                "absent": list(done.absent),
            }
        )
        return
    click.echo(f"{'pushed' if done.new else 'was there':<10}{done.version}")
    click.echo(f"{'to':<10}{done.remote}{'' if there == str(done.version) else f' as {there}'}")
    click.echo(f"{'sent':<10}{_files(done.sent)} of {done.files}, {human_size(done.bytes)}")
    if done.signatures:
        click.echo(f"{'signed':<10}{done.signatures} signature{'s' * (done.signatures > 1)}")
    _show_parents([str(parent.version) for parent in done.parents], done.absent, "here")
    if alias:
        click.echo(f"{'alias':<10}{alias}")


@click.command(short_help="Publish here a version from a place elsewhere.")
@click.argument("words", nargs=-1, required=True, metavar="[REF] REMOTE")
@click.option("--name", help="Publish it under this name, as a child of the original.")
@click.option("--alias", help="Point this alias, here, at the version.")
@click.option("--with-parents", is_flag=True, help="Pull first all that it was made from.")
@json_option
@shared_options
def pull(
    words: tuple[str, ...],
    name: str | None,
    alias: str | None,
    with_parents: bool,
    as_json: bool,
) -> None:
    """Publish here the version REF of REMOTE, with its digest and, if it is free, its number.

    REF may be left out where the remote has a single name; its newest version is taken then.
    Everything that comes is hashed and checked, and nothing in it is run.

    \b
    ahl pull tickets@prod file:/srv/adapters
    ahl pull bundle:tickets.tar --name their-tickets
    """
    from adapterhub_lite import api
    from adapterhub_lite.cli.registry_common import human_size
    from adapterhub_lite.plugins import get_catalogue
    from adapterhub_lite.remotes import pull_version

    if len(words) > 2:
        raise click.UsageError("give one version and one remote: ahl pull REF REMOTE")
    ref, remote = (None, words[0]) if len(words) == 1 else words
    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    registry = api.open_registry(settings().home)
    with _progress("fetching") as progress:
        done = pull_version(
            remote,
            registry,
            catalogue,
            ref=ref,
            name=name,
            alias=alias,
            with_parents=with_parents,
            progress=progress,
        )
    if as_json:
        emit_json(
            {
                "version": str(done.version),
                "digest": done.version.digest,
                "remote": done.remote,
                "there": done.source,
                "alias": alias,
                "new": done.new,
                "files": done.files,
                "fetched": done.fetched,
                "bytes": done.bytes,
                "signatures": done.signatures,
                "parents": [str(parent.version) for parent in done.parents],
                "absent": list(done.absent),
            }
        )
        return
    click.echo(f"{'pulled' if done.new else 'was here':<10}{done.source}")
    click.echo(f"{'from':<10}{done.remote}")
    click.echo(f"{'version':<10}{done.version}")
    click.echo(f"{'fetched':<10}{_files(done.fetched)} of {done.files}, {human_size(done.bytes)}")
    if done.signatures:
        click.echo(f"{'signed':<10}{done.signatures} signature{'s' * (done.signatures > 1)}")
    _show_parents([str(parent.version) for parent in done.parents], done.absent, "there")
    if alias:
        click.echo(f"{'alias':<10}{alias}")


@click.command(short_help="Make this registry and a place elsewhere hold the same versions.")
@click.argument("remote")
@click.option("--name", "names", multiple=True, help="Only this name; may be repeated.")
@click.option("--push", "direction", flag_value="push", help="Only send what is missing there.")
@click.option("--pull", "direction", flag_value="pull", help="Only fetch what is missing here.")
@click.option("--dry-run", is_flag=True, help="Say what would be moved, and move nothing.")
@json_option
@shared_options
@click.pass_context
def sync(
    context: click.Context,
    remote: str,
    names: tuple[str, ...],
    direction: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Fetch all versions that REMOTE has and send all that it lacks, under the same numbers.

    Aliases stay as they are, and so does what was removed on the other side. Where a number is
    another version's there, both stay, and the exit status is 1.

    \b
    ahl sync file:/srv/adapters --dry-run
    ahl sync s3://our-models/adapters --push
    ahl sync oci://ghcr.io/acme/tickets --name tickets
    """
    from adapterhub_lite import api
    from adapterhub_lite.cli.registry_common import human_size
    from adapterhub_lite.plugins import get_catalogue
    from adapterhub_lite.remotes import sync_remote

    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    with _progress("moving") as progress:
        done = sync_remote(
            remote,
            api.open_registry(settings().home),
            catalogue,
            names=names,
            direction=direction or "both",  # type: ignore[arg-type]
            dry_run=dry_run,
            progress=progress,
        )
    lists = {
        "pulled": [str(found) for found in done.pulled],
        "pushed": [str(found) for found in done.pushed],
        "removed": [str(found) for found in done.removed],
        "conflicts": [str(found) for found in done.conflicts],
    }
    if as_json:
        counts = {"files": done.files, "bytes": done.bytes}
        emit_json({"remote": done.remote, "dry_run": dry_run, **lists, **counts})
    else:
        for what, versions in lists.items():
            told = f"would be {what}" if dry_run and what in ("pulled", "pushed") else what
            for version in versions:
                click.echo(f"{told:<18}{version}")
        if not any(lists.values()):
            click.echo("nothing is missing")
        if not dry_run:
            click.echo(f"{'moved':<18}{_files(done.files)}, {human_size(done.bytes)}")
    if done.conflicts:
        click.echo("conflicts are other versions under the same number; none was moved", err=True)
        context.exit(1)


def _show_parents(parents: Sequence[str], absent: Sequence[str], where: str) -> None:
    if parents:
        click.echo(f"{'parents':<10}{', '.join(parents)}")
    for digest in absent:
        click.echo(f"{'absent':<10}the parent {digest} is not {where}")


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


@contextmanager
def _progress(doing: str) -> "Iterator[Progress]":
    """Show a bar on a terminal, else a line for each tenth; both on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn(doing), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    told = 0

    def show(done: int, total: int) -> None:
        nonlocal told
        bar.update(task, completed=done, total=total)
        tenths = TENTHS * done // total
        if not console.is_terminal and tenths > told:
            told = tenths
            click.echo(f"{doing}: {done:,} of {total:,} bytes", err=True)

    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(doing, total=None)
        yield show
