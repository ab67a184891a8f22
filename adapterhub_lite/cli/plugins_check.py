"""``ahl plugins check``: the conformance kit, for somebody who has never seen the code."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.common import emit_json, json_option, print_table, settings, shared_options

if TYPE_CHECKING:
    from adapterhub_lite.catalogue import Catalogue
    from adapterhub_lite.plugins import PluginRecord
    from adapterhub_lite.testing.outcomes import CheckResult, Status

COLUMNS = ("kind", "name", "check", "result", "message")


@click.command(short_help="Hold plugins to the checks that ours pass.")
@click.argument("name", required=False)
@json_option
@shared_options
def check(name: str | None, as_json: bool) -> None:
    """Hold all that the plugin NAME offers to the checks that first-party plugins pass.

    NAME is a distribution or one of its plugins; without it every third-party plugin is checked.
    No network is needed: models and data are tiny and made on the spot. Exits with 1 when a check
    fails.
    """
    from adapterhub_lite.plugins import get_catalogue

    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    results = list(_run(catalogue, _chosen(name, catalogue), by_name=name is not None))
    if as_json:
        emit_json([asdict(result) for result in results])
    elif results:
        _print(results)
    else:
        click.echo("there are no third-party plugins; name one of ours to check that")
    if not all(result.ok for result in results):
        raise click.exceptions.Exit(1)


def _chosen(name: str | None, catalogue: "Catalogue") -> "list[PluginRecord]":
    """Return the plugins that a name means, or those of others; raises UnknownNameError."""
    from adapterhub_lite.plugins.naming import resolve_plugin

    if name is None:
        return [record for record in catalogue.records if not record.source.first_party]
    points = [(record.source.distribution, record.source.name) for record in catalogue.records]
    plugin = resolve_plugin(name, points)
    return [
        record
        for record in catalogue.records
        if plugin in (record.source.id, record.source.distribution)
    ]


def _run(
    catalogue: "Catalogue", records: "list[PluginRecord]", *, by_name: bool
) -> "Iterator[CheckResult]":
    """Check plugin by plugin; what does not load has failed, unless nobody asked for it by name."""
    from adapterhub_lite.testing.suite import check_plugin

    with _progress() as tell, redirect_stdout(sys.stderr):
        for record in records:
            if record.status != "ok":
                passed_over = record.source.barrier and not by_name
                status: Status = "skipped" if passed_over else "failed"
                yield _of_plugin(record, "loads", status, f"{record.status}: {record.error}")
            else:
                for result in check_plugin(catalogue, record.source.id):
                    tell(result)
                    yield result


def _of_plugin(record: "PluginRecord", name: str, status: "Status", message: str) -> "CheckResult":
    from adapterhub_lite.testing.outcomes import CheckResult

    hint = "ahl doctor tells the way out" if status == "failed" else ""
    return CheckResult(
        kind="plugin",
        name=record.source.id,
        check=name,
        status=status,
        message=message,
        hint=hint,
    )


@contextmanager
def _progress() -> "Iterator[Callable[[CheckResult], None]]":
    """Yield what says, on a terminal, how many checks have been run and which was the last."""
    from rich.console import Console

    done = 0
    with Console(stderr=True).status("checking") as status:

        def tell(result: "CheckResult") -> None:
            nonlocal done
            done += 1
            status.update(f"{done} checks, the last: {result.kind} {result.name}: {result.check}")

        yield tell


def _print(results: "list[CheckResult]") -> None:
    """Print the table, what to do about each failure, and how many there are of each result."""
    print_table(COLUMNS, [(r.kind, r.name, r.check, r.status, r.message) for r in results])
    for result in results:
        if not result.ok:
            click.echo(f"{result.kind} {result.name}, {result.check}: {result.message}")
            if result.hint:
                click.echo(f"  hint: {result.hint}")
    counts = Counter(result.status for result in results)
    click.echo(", ".join(f"{count} {status}" for status, count in counts.items()))
