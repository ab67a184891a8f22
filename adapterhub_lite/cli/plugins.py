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

    rows = get_catalogue(first_party_only=settings().no_plugins).listing() + _command_rows()
    if as_json:
        emit_json(rows)
    else:
        print_table(COLUMNS, [[row[column] for column in COLUMNS] for row in rows])


def _command_rows() -> list[dict[str, str]]:
    """Return a row a third-party command; nothing of it is imported to list it."""
    from adapterhub_lite.cli.root import COMMANDS, ENTRY_POINT_GROUP
    from adapterhub_lite.plugins import command_owners, conflict

    rows = []
    commands = command_owners(ENTRY_POINT_GROUP, first_party_only=settings().no_plugins)
    for name, owners in commands.items():
        rivals = [(owner, version) for owner, version, blocked in owners if not blocked]
        error = conflict("command", name, rivals).message if len(rivals) > 1 else ""
        if name in COMMANDS:
            error = f"hidden by the project's own command {name!r}"
        for distribution, version, blocked in owners:
            status = "blocked" if blocked else "conflict" if error else "ok"
            cells = (name, "command", distribution, version, status, blocked or error)
            rows.append(dict(zip(COLUMNS, cells, strict=True)))
    return rows
