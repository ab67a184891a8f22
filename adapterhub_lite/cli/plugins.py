"""``ahl plugins``: what is installed, and what is to be done about it."""

from collections.abc import Sequence

import click

from adapterhub_lite.cli.common import emit_json, json_option, settings, shared_options
from adapterhub_lite.cli.plugins_check import check
from adapterhub_lite.cli.plugins_install import install, uninstall
from adapterhub_lite.cli.plugins_new import new
from adapterhub_lite.cli.plugins_rows import hook_named, listed_rows, print_rows
from adapterhub_lite.cli.plugins_show import show
from adapterhub_lite.cli.plugins_switch import disable, enable

__all__ = ["plugins"]


@click.group(short_help="Install, list, check and switch off plugins.")
def plugins() -> None:
    """Look after plugins."""


@plugins.command("list", short_help="List what plugins offer, and those that are broken.")
@click.option("--all", "every", is_flag=True, help="List first-party plugins one by one as well.")
@click.option("--hook", metavar="NAME", help="Only what comes by this hook, from every plugin.")
@json_option
@shared_options
def list_(every: bool, hook: str | None, as_json: bool) -> None:
    """List what each plugin offers, and those that are off, blocked or broken with the reason.

    First-party plugins are counted only, unless one of them is in trouble; --all and --json list
    everything.
    """
    from adapterhub_lite.plugins import FIRST_PARTY, get_catalogue

    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    rows = listed_rows(catalogue, hook_named(hook) if hook else None)
    if as_json:
        return emit_json(rows)
    if every or hook:
        return print_rows(rows)
    own = [row for row in rows if row["distribution"] == FIRST_PARTY and row["status"] == "ok"]
    shown = [row for row in rows if row not in own]
    if shown:
        print_rows(shown)
    else:
        click.echo("no third-party plugins; one comes with: ahl plugins install SPEC")
    return click.echo(f"{FIRST_PARTY} itself offers {_counted(own)}; --all lists them")


def _counted(rows: Sequence[dict[str, str]]) -> str:
    """Count rows by kind: ``45 methods, 3 loaders``."""
    from adapterhub_lite.cli.parts import PLURALS

    kinds = dict.fromkeys(row["kind"] for row in rows if row["kind"] != "plugin")
    counts = {kind: sum(row["kind"] == kind for row in rows) for kind in kinds}
    return ", ".join(
        f"{count} {kind if count == 1 else PLURALS.get(kind, f'{kind}s')}"
        for kind, count in counts.items()
    )


for command in (show, install, uninstall, disable, enable, check, new):
    plugins.add_command(command)
