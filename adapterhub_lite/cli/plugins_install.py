"""``ahl plugins install`` and ``uninstall``: pip, and what was gained or lost by it."""

from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.common import emit_json, json_option, shared_options
from adapterhub_lite.cli.plugins_rows import Row, print_rows

if TYPE_CHECKING:
    from adapterhub_lite.plugins.installing import Installed

PASS_ON = {"ignore_unknown_options": True}
"""What click does not know is pip's: ``--upgrade``, ``--index-url``, ``--no-deps``, ``-e``."""


@click.command(context_settings=PASS_ON, short_help="Install plugins with pip; list what they add.")
@click.argument("spec", nargs=-1, required=True, type=click.UNPROCESSED)
@json_option
@shared_options
def install(spec: tuple[str, ...], as_json: bool) -> None:
    """Install plugins with pip, into the environment that is running; list what was gained.

    SPEC is what pip takes: a name, NAME==1.2, a folder, a URL, and pip's own options, for example
    --upgrade, --index-url URL, --no-deps or -e FOLDER.
    """
    from adapterhub_lite.plugins.installing import fresh_listing, pip_install

    installed = pip_install(spec)
    found = {one.name for one in installed}
    gained = [row for row in fresh_listing() if row["distribution"] in found] if installed else []
    if as_json:
        return emit_json(gained)
    if not installed:
        return click.echo(
            "nothing was installed: all of it is there already (--upgrade looks for newer versions)"
        )
    return _say(installed, gained)


def _say(installed: "list[Installed]", gained: list[Row]) -> None:
    if gained:
        print_rows(gained)
    offering = {row["distribution"] for row in gained}
    for one in installed:
        if one.requested and one.name not in offering:
            click.echo(
                f"{one.name} {one.version} is installed, and offers nothing to adapterhub-lite"
            )
    others = [f"{one.name} {one.version}" for one in installed if not one.requested]
    if others:
        click.echo(f"with it came {', '.join(others)}")
    if offering:
        click.echo(f"more of it: ahl plugins show {min(offering)}")


@click.command(short_help="Remove plugin distributions with pip.")
@click.argument("name", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@shared_options
def uninstall(name: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Remove the distributions that bring the plugins NAME, with all that they offer.

    NAME is a distribution or one of its plugins. What was trained with them stays in the registry,
    and can be used again when they are back.
    """
    from adapterhub_lite.plugins.disabled import change_disabled, read_disabled
    from adapterhub_lite.plugins.installing import pip_uninstall

    distributions = list(dict.fromkeys(_removable(one) for one in name))
    if not yes:
        click.confirm(f"remove {', '.join(distributions)}?", abort=True, err=True)
    pip_uninstall(distributions)
    gone = [entry for entry in read_disabled() if entry.partition(":")[0] in distributions]
    if gone:
        change_disabled(remove=gone)
    if as_json:
        return emit_json({"removed": distributions})
    return click.echo(f"removed {', '.join(distributions)}")


def _removable(name: str) -> str:
    """Return the distribution that ``name`` means; raises UserError for what is none of ours."""
    from importlib.metadata import PackageNotFoundError, version

    from adapterhub_lite.errors import UnknownNameError, UserError
    from adapterhub_lite.plugins import FIRST_PARTY, canonical_name
    from adapterhub_lite.plugins.naming import installed_points, resolve_plugin

    points = {point for point in installed_points() if point[0] != FIRST_PARTY}
    try:
        return resolve_plugin(name, points).partition(":")[0]
    except UnknownNameError:
        own = {entry for owner, entry in installed_points() if owner == FIRST_PARTY}
        if canonical_name(name) == FIRST_PARTY or name.removeprefix(f"{FIRST_PARTY}:") in own:
            raise UserError(
                f"{name!r} belongs to {FIRST_PARTY} itself, and is not uninstalled from within",
                hint="one of its plugins can be switched off: ahl plugins disable NAME",
            ) from None
        try:
            version(name)
        except (PackageNotFoundError, ValueError):
            raise UnknownNameError(
                "plugin", name, {part for point in points for part in point}
            ) from None
        raise UserError(
            f"{name!r} is no plugin: it offers nothing to {FIRST_PARTY}",
            hint=f"to remove it all the same: pip uninstall {name}",
        ) from None
