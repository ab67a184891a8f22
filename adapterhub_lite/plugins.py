"""Discovery: which plugins are installed, which may load, and which of them are broken.

A plugin is a module named by an entry point of the group ``adapterhub_lite``; ours come the same
way as a stranger's. pluggy's own loader skips a duplicate entry-point name without a word and lets
one broken import stop everything, so loading is done here: try, record the error, go on.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, distributions
from typing import TYPE_CHECKING, Literal

from adapterhub_lite.errors import PluginConflictError, PluginError

if TYPE_CHECKING:
    import click

    from adapterhub_lite.catalogue import Catalogue

GROUP = "adapterhub_lite"
FIRST_PARTY = "adapterhub-lite"
ALLOWLIST = "ADAPTERHUB_LITE_PLUGINS"

Status = Literal["ok", "broken", "blocked"]


@dataclass(frozen=True, slots=True)
class PluginSource:
    """A plugin that could be loaded: the name of its entry point, and who ships it."""

    name: str
    distribution: str
    version: str
    load: Callable[[], object]
    blocked: str = ""

    @property
    def id(self) -> str:
        """The name it is registered under: unique even when two distributions use one name."""
        return f"{self.distribution}:{self.name}"

    @property
    def first_party(self) -> bool:
        """Whether it comes with the project itself."""
        return self.distribution == FIRST_PARTY


@dataclass(slots=True)
class PluginRecord:
    """What became of a plugin: loaded, broken (``error`` says how) or blocked (and by what)."""

    source: PluginSource
    status: Status = "ok"
    error: str = ""


def installed_sources(*, first_party_only: bool = False) -> list[PluginSource]:
    """Return every installed plugin, ours first; those not allowed carry the reason."""
    allowed = _allowlist()
    sources = []
    for distribution, version, point in _entry_points(GROUP):
        blocked = (
            ""
            if distribution == FIRST_PARTY
            else _reason_to_block(distribution, point.name, allowed, first_party_only)
        )
        sources.append(PluginSource(point.name, distribution, version, point.load, blocked))
    return sorted(sources, key=lambda source: (not source.first_party, source.id))


def _entry_points(group: str) -> Iterator[tuple[str, str, EntryPoint]]:
    seen: set[str] = set()
    for distribution in distributions():
        name = canonical_name(distribution.metadata["Name"] or "")
        if not name or name in seen:
            continue  # shadowed by the same distribution earlier on the path, as imports are
        seen.add(name)
        for point in distribution.entry_points.select(group=group):
            yield name, distribution.version, point


def canonical_name(distribution: str) -> str:
    """Return a distribution's name as PEP 503 normalises it."""
    import re

    return re.sub(r"[-_.]+", "-", distribution).lower()


def _allowlist() -> frozenset[str] | None:
    value = os.environ.get(ALLOWLIST)
    if value is None:
        return None
    return frozenset(canonical_name(part.strip()) for part in value.split(",") if part.strip())


def _reason_to_block(
    distribution: str, name: str, allowed: frozenset[str] | None, first_party_only: bool
) -> str:
    if first_party_only:
        return "--no-plugins"
    if allowed is not None and not allowed & {distribution, canonical_name(name)}:
        return f"not in {ALLOWLIST}"
    return ""


def load_catalogue(*, first_party_only: bool = False) -> "Catalogue":
    """Load every installed plugin into a fresh catalogue."""
    from adapterhub_lite.catalogue import Catalogue

    return Catalogue(installed_sources(first_party_only=first_party_only))


@cache
def get_catalogue(*, first_party_only: bool = False) -> "Catalogue":
    """Return the process's catalogue, loading it the first time; tests build their own."""
    return load_catalogue(first_party_only=first_party_only)


def command_owners(
    group: str, *, first_party_only: bool = False
) -> dict[str, list[tuple[str, str, str]]]:
    """Return who declares which command in ``group``: distribution, version, why it is blocked."""
    allowed = _allowlist()
    owners: dict[str, list[tuple[str, str, str]]] = {}
    for distribution, version, point in _entry_points(group):
        blocked = _reason_to_block(distribution, point.name, allowed, first_party_only)
        owners.setdefault(point.name, []).append((distribution, version, blocked))
    return owners


def load_command(
    group: str, name: str, *, first_party_only: bool = False
) -> "click.Command | None":
    """Import the command ``name`` that a plugin distribution declares in ``group``, if any.

    Raises PluginConflictError when two distributions declare it, PluginError when it fails.
    """
    allowed = _allowlist()
    found = [
        (distribution, version, point)
        for distribution, version, point in _entry_points(group)
        if point.name == name
        and not _reason_to_block(distribution, point.name, allowed, first_party_only)
    ]
    if not found:
        return None
    if len(found) > 1:
        raise conflict("command", name, ((dist, version) for dist, version, _ in found))
    distribution, _, point = found[0]
    return _checked_command(point, distribution)


def _checked_command(point: EntryPoint, distribution: str) -> "click.Command":
    import click

    try:
        command = point.load()
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"the command {point.name!r} of {distribution} fails to import: {one_line(error)}",
            plugin=distribution,
            hint=f"report it to the authors of {distribution}, or: pip uninstall {distribution}",
        ) from error
    if not isinstance(command, click.Command):
        raise PluginError(
            f"the command {point.name!r} of {distribution} is no click command",
            plugin=distribution,
        )
    return command


def conflict(kind: str, name: str, owners: Iterable[tuple[str, str]]) -> PluginConflictError:
    """Return the error for a name that several distributions offer."""
    listed = sorted(owners)
    return PluginConflictError(
        f"{kind} {name!r} is offered by " + " and ".join(f"{d} {v}" for d, v in listed),
        plugin=listed[0][0],
        hint=f"uninstall one of them, or list the ones to load in {ALLOWLIST}",
    )


def one_line(error: BaseException) -> str:
    """Return an exception as one line: its type and the first line of its message."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
