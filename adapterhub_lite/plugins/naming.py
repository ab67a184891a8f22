"""What a person calls a plugin: its distribution, its entry point, or both."""

from collections.abc import Iterable

from adapterhub_lite.errors import UnknownNameError, UserError
from adapterhub_lite.plugins.commands import command_sources
from adapterhub_lite.plugins.discovery import canonical_name, installed_sources


def installed_points() -> set[tuple[str, str]]:
    """Return every plugin and command as its distribution and the name of its entry point."""
    plugins = {(source.distribution, source.name) for source in installed_sources()}
    return plugins | {(source.distribution, source.name) for source in command_sources()}


def resolve_plugin(name: str, points: Iterable[tuple[str, str]]) -> str:
    """Return the distribution, or the ``distribution:entry-point``, that ``name`` means.

    A distribution wins over an entry point of the same name. Raises UnknownNameError with the
    nearest name, UserError for an entry point that two distributions have.
    """
    known = sorted(points)
    distributions = {distribution for distribution, _ in known}
    if canonical_name(name) in distributions:
        return canonical_name(name)
    distribution, _, point = name.rpartition(":")
    found = [
        f"{owner}:{entry}"
        for owner, entry in known
        if entry == point and canonical_name(distribution) in ("", owner)
    ]
    if not found:
        raise UnknownNameError("plugin", name, distributions | {entry for _, entry in known})
    if len(found) > 1:
        raise UserError(
            f"{name!r} is a plugin of several distributions",
            hint=f"say which: {' or '.join(found)}",
        )
    return found[0]
