"""``ahl plugins``: what is installed."""

import click

from adapterhub_lite.cli.common import emit_json, json_option, print_table, settings, shared_options

COLUMNS = ("name", "kind", "distribution", "version", "status", "error")


@click.group(short_help="See what is installed, and what is broken.")
def plugins() -> None:
    """Look after plugins."""


@plugins.command("list", short_help="List everything that plugins offer.")
@json_option
@shared_options
def list_(as_json: bool) -> None:
    """List what each plugin offers, and those that are blocked or broken with the reason."""
    from adapterhub_lite.plugins import get_catalogue

    rows = get_catalogue(first_party_only=settings().no_plugins).listing()
    if as_json:
        emit_json(rows)
    else:
        print_table(COLUMNS, [[row[column] for column in COLUMNS] for row in rows])
