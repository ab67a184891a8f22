"""Discovery: which plugins are installed, and which of them may load."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Literal

from adapterhub_lite.plugins.disabled import read_disabled

GROUP = "adapterhub_lite"
FIRST_PARTY = "adapterhub-lite"
ALLOWLIST = "ADAPTERHUB_LITE_PLUGINS"


@dataclass(frozen=True, slots=True)
class Barrier:
    """What keeps a plugin from loading: it was disabled, or a setting blocks it."""

    status: Literal["disabled", "blocked"]
    reason: str


@dataclass(frozen=True, slots=True)
class PluginSource:
    """A plugin that could be loaded: the name of its entry point, and who ships it.

    ``target`` is the entry point's ``module`` or ``module:object``.
    """

    name: str
    distribution: str
    version: str
    load: Callable[[], object]
    barrier: Barrier | None = None
    target: str = ""

    @property
    def id(self) -> str:
        """The name it is registered under: unique even when two distributions use one name."""
        return f"{self.distribution}:{self.name}"

    @property
    def first_party(self) -> bool:
        """Whether it comes with the project itself."""
        return self.distribution == FIRST_PARTY


def installed_sources(*, first_party_only: bool = False) -> list[PluginSource]:
    """Return every installed plugin, ours first; those that may not load carry the reason.

    Raises UserError when the file of disabled plugins cannot be read.
    """
    bars = Barriers(first_party_only=first_party_only)
    sources = [
        PluginSource(
            point.name,
            distribution,
            version,
            point.load,
            bars.before(distribution, point.name),
            point.value,
        )
        for distribution, version, point in found_entry_points(GROUP)
    ]
    return sorted(sources, key=lambda source: (not source.first_party, source.id))


def found_entry_points(group: str) -> Iterator[tuple[str, str, EntryPoint]]:
    """Yield distribution, version and entry point of each one in a group.

    A distribution shadowed by the same one earlier on the path is left out, as imports do.
    """
    told: dict[int, tuple[str, str]] = {}  # metadata is parsed whenever it is asked for: once each
    for point in entry_points(group=group):
        if point.dist is None:
            continue
        if id(point.dist) not in told:
            metadata = point.dist.metadata
            told[id(point.dist)] = (canonical_name(metadata["Name"] or ""), metadata["Version"])
        name, version = told[id(point.dist)]
        if name:
            yield name, version, point


def canonical_name(distribution: str) -> str:
    """Return a distribution's name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


class Barriers:
    """What the user's settings say of which plugins load, read once for all of them."""

    def __init__(self, *, first_party_only: bool = False) -> None:
        self._first_party_only = first_party_only
        self._allowed = _allowlist()
        self._disabled = read_disabled()

    def before(self, distribution: str, name: str) -> Barrier | None:
        """Return what keeps an entry point of a distribution from loading, if anything does."""
        for disabled in (distribution, f"{distribution}:{name}"):
            if disabled in self._disabled:
                return Barrier("disabled", f"to load it again: ahl plugins enable {disabled}")
        if distribution == FIRST_PARTY:
            return None
        if self._first_party_only:
            return Barrier("blocked", "--no-plugins")
        if self._allowed is not None and not self._allowed & {distribution, canonical_name(name)}:
            return Barrier("blocked", f"not in {ALLOWLIST}")
        return None


def _allowlist() -> frozenset[str] | None:
    value = os.environ.get(ALLOWLIST)
    if value is None:
        return None
    return frozenset(canonical_name(part.strip()) for part in value.split(",") if part.strip())
