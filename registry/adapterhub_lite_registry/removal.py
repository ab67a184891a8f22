"""Taking a version out of the registry.

Only its reference goes: a tombstone takes its place in one step. The bytes stay, because another
process may be publishing the same ones at this moment and count on them; so nothing that a
concurrent publish has found can vanish from under it.
"""

from dataclasses import dataclass, replace

from adapterhub_lite_registry.aliases import AliasStore
from adapterhub_lite_registry.errors import InUseError
from adapterhub_lite_registry.io import FileIO, parent
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.refs import RefStore
from adapterhub_lite_registry.temporary import Workspace
from adapterhub_lite_registry.versions import Version


@dataclass(frozen=True)
class RemovalPlan:
    """What removing a version means: what needs it, and thus whether it is refused."""

    version: Version
    aliases: tuple[str, ...]
    children: tuple[str, ...]

    @property
    def is_refused(self) -> bool:
        """Whether an alias or a child needs the version."""
        return bool(self.aliases or self.children)

    @property
    def _alias_references(self) -> list[str]:
        return [f"{self.version.name}@{alias}" for alias in self.aliases]

    def check(self) -> None:
        """Raise InUseError if an alias or a child needs the version."""
        if self.aliases:
            raise InUseError(
                f"{self.version} is what alias {', '.join(self.aliases)} points to",
                hint=f"move or remove first: ahl alias rm {' '.join(self._alias_references)}",
            )
        if self.children:
            raise InUseError(
                f"{self.version} is a parent of {', '.join(self.children)}",
                hint="remove those first, if nobody needs them",
            )


class Remover:
    """Puts tombstones in the place of references."""

    def __init__(self, io: FileIO, layout: Layout, refs: RefStore, aliases: AliasStore) -> None:
        self._io = io
        self._layout = layout
        self._refs = refs
        self._aliases = aliases

    def plan(self, version: Version, children: tuple[str, ...]) -> RemovalPlan:
        """Return what stands against removing a version."""
        pointing = self._refs.aliases(version.name).items()
        aliases = tuple(alias for alias, number in pointing if number == version.number)
        return RemovalPlan(version, aliases, children)

    def remove(self, version: Version, children: tuple[str, ...]) -> RemovalPlan:
        """Remove a version; InUseError if something needs it."""
        path = self._layout.version(version.name, version.number)
        with self._aliases.lock():
            plan = self.plan(version, children)
            plan.check()
            tombstone = replace(self._refs.live(version.name, version.number), removed=True)
            with Workspace(self._io, self._layout.tmp) as work:
                self._io.rename(work.write(tombstone.line(), mode=0o444), path)
            self._io.fsync_dir(parent(path))
        return plan
