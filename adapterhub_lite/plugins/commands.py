"""Commands that plugin distributions bring: known by name, imported when one is run."""

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

from adapterhub_lite.errors import PluginError, UserError
from adapterhub_lite.plugins.discovery import Barrier, Barriers, found_entry_points
from adapterhub_lite.plugins.faults import conflict, one_line

if TYPE_CHECKING:
    import click

GROUP = "adapterhub_lite.commands"


@dataclass(frozen=True, slots=True)
class CommandSource:
    """A command that could be run: its name, who ships it, what keeps it from loading."""

    name: str
    distribution: str
    version: str
    point: EntryPoint
    barrier: Barrier | None = None


def command_sources(*, first_party_only: bool = False) -> list[CommandSource]:
    """Return every command that a distribution declares; nothing of it is imported."""
    bars = Barriers(first_party_only=first_party_only)
    return [
        CommandSource(
            point.name, distribution, version, point, bars.before(distribution, point.name)
        )
        for distribution, version, point in found_entry_points(GROUP)
    ]


def load_command(name: str, *, first_party_only: bool = False) -> "click.Command | None":
    """Import the command ``name`` that a distribution declares; None when none does.

    Raises PluginConflictError when two declare it, UserError when it may not load, PluginError
    when it fails.
    """
    named = [
        source
        for source in command_sources(first_party_only=first_party_only)
        if source.name == name
    ]
    if not named:
        return None
    found = [source for source in named if source.barrier is None]
    if len(found) > 1:
        raise conflict("command", name, ((one.distribution, one.version) for one in found))
    if found:
        return _checked_command(found[0].point, found[0].distribution)
    barrier = named[0].barrier
    assert barrier is not None, "each of them has one"
    raise UserError(
        f"the command {name!r} of {named[0].distribution} is {barrier.status}", hint=barrier.reason
    )


def _checked_command(point: EntryPoint, distribution: str) -> "click.Command":
    import click

    try:
        command = point.load()
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"the command {point.name!r} of {distribution} fails to import: {one_line(error)}",
            plugin=distribution,
            hint=f"report it to the authors of {distribution}, or: "
            f"ahl plugins uninstall {distribution}",
        ) from error
    if not isinstance(command, click.Command):
        raise PluginError(
            f"the command {point.name!r} of {distribution} is no click command",
            plugin=distribution,
            hint=f"report it to the authors of {distribution}",
        )
    return command
