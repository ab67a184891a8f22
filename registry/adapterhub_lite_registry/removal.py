"""Taking a version out of the registry.

Only its reference goes: a tombstone takes its place in one step. The bytes stay until they are
collected, because another process may be publishing the same ones at this moment.
"""

from dataclasses import dataclass, replace

from adapterhub_lite_registry.aliases import AliasStore
from adapterhub_lite_registry.errors import InUseError
from adapterhub_lite_registry.io import FileIO, exists, parent
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.refs import Ref, RefStore
from adapterhub_lite_registry.temporary import Workspace


@dataclass(frozen=True)
class RemovalPlan:
    """What removing a version means: what needs it, and thus whether it is refused.

    ``size`` is None for a version whose manifest is damaged.
    """

    ref: Ref
    size: int | None
    aliases: tuple[str, ...]
    children: tuple[str, ...]

    @property
    def is_refused(self) -> bool:
        """Whether an alias or a child needs the version."""
        return bool(self.aliases or self.children)

    @property
    def _alias_references(self) -> list[str]:
        return [f"{self.ref.name}@{alias}" for alias in self.aliases]

    def check(self) -> None:
        """Raise InUseError if an alias or a child needs the version."""
        if self.aliases:
            raise InUseError(
                f"{self.ref} is what alias {', '.join(self.aliases)} points to",
                hint=f"move or remove first: ahl alias rm {' '.join(self._alias_references)}",
            )
        if self.children:
            raise InUseError(
                f"{self.ref} is a parent of {', '.join(self.children)}",
                hint="remove those first, if nobody needs them",
            )


class Remover:
    """Puts tombstones in the place of references."""

    def __init__(self, io: FileIO, layout: Layout, refs: RefStore, aliases: AliasStore) -> None:
        self._io = io
        self._layout = layout
        self._refs = refs
        self._aliases = aliases

    def plan(self, ref: Ref, size: int | None, children: tuple[str, ...]) -> RemovalPlan:
        """Return what stands against removing a version."""
        pointing = self._refs.aliases(ref.name).items()
        aliases = tuple(alias for alias, number in pointing if number == ref.number)
        return RemovalPlan(ref, size, aliases, children)

    def remove(self, ref: Ref, size: int | None, children: tuple[str, ...]) -> RemovalPlan:
        """Remove a version; InUseError if something needs it."""
        path = self._layout.version(ref.name, ref.number)
        with self._aliases.lock():
            self._refs.live(ref.name, ref.number)
            plan = self.plan(ref, size, children)
            plan.check()
            if exists(self._io, aliases := self._layout.aliases(ref.name)):
                # An alias whose removal was killed is not seen here, and back after a power cut.
                self._io.fsync_dir(aliases)
            with Workspace(self._io, self._layout.tmp) as work:
                tombstone = replace(ref, removed=True).line()
                self._io.rename(work.write(tombstone, mode=0o444), path)
            self._io.fsync_dir(parent(path))
        return plan
