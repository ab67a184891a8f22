"""Where a version comes from, and what was made of it."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from adapterhub_lite_registry.errors import IntegrityError
from adapterhub_lite_registry.manifest import Parent
from adapterhub_lite_registry.versions import Version, VersionReader

_MAX_DEPTH = 100


@dataclass(frozen=True)
class LineageNode:
    """One relative; ``ref`` is None for what is not, or no longer, a version here.

    A relative that is reached twice is followed only the first time, and none beyond a hundred
    generations.
    """

    digest: str
    ref: str | None
    kind: str | None = None
    role: str | None = None
    weight: float | None = None
    nodes: tuple["LineageNode", ...] = ()


@dataclass(frozen=True)
class Lineage:
    """A version between its parents (theirs below them) and its children (theirs below them)."""

    version: Version
    parents: tuple[LineageNode, ...]
    children: tuple[LineageNode, ...]


class LineageReader:
    """Follows parents through manifests and children through the index."""

    def __init__(self, connection: sqlite3.Connection, reader: VersionReader) -> None:
        self._connection = connection
        self._reader = reader

    def read(self, version: Version) -> Lineage:
        """Return a version's relatives, as far as they are known here."""
        parents = self._parents(version.manifest.parents, {version.digest})
        return Lineage(version, parents, self._children(version.digest, {version.digest}))

    def child_refs(self, digest: str) -> tuple[str, ...]:
        """Return the versions that name ``digest`` as a parent."""
        return tuple(ref for _, ref, *_ in self._rows(digest))

    def _parents(
        self, parents: tuple[Parent, ...], seen: set[str], depth: int = 0
    ) -> tuple[LineageNode, ...]:
        nodes = []
        for parent in parents:
            above: tuple[LineageNode, ...] = ()
            kind, known = None, self._ref(parent.digest)
            if parent.digest not in seen and depth < _MAX_DEPTH:
                seen.add(parent.digest)
                try:
                    manifest = self._reader.manifest(parent.digest, known or "a parent")
                    kind, above = manifest.kind, self._parents(manifest.parents, seen, depth + 1)
                except IntegrityError:
                    pass  # the parent lives elsewhere, or is damaged: fsck tells which
            nodes.append(LineageNode(parent.digest, known, kind, parent.role, parent.weight, above))
        return tuple(nodes)

    def _children(self, digest: str, seen: set[str], depth: int = 0) -> tuple[LineageNode, ...]:
        nodes = []
        for child, ref, kind, role, weight in self._rows(digest):
            below: tuple[LineageNode, ...] = ()
            if child not in seen and depth < _MAX_DEPTH:
                seen.add(child)
                below = self._children(child, seen, depth + 1)
            nodes.append(LineageNode(child, ref, kind, role, weight, below))
        return tuple(nodes)

    def _rows(self, parent: str) -> Iterator[tuple[str, str, str, str | None, float | None]]:
        yield from self._connection.execute(
            "SELECT v.digest, v.name || '@' || v.number, v.kind, p.role, p.weight "
            "FROM parents p JOIN versions v ON v.id = p.version "
            "WHERE p.parent = ? ORDER BY v.name, v.number",
            (parent,),
        ).fetchall()

    def _ref(self, digest: str) -> str | None:
        row = self._connection.execute(
            "SELECT name || '@' || number FROM versions WHERE digest = ?", (digest,)
        ).fetchone()
        return row[0] if row else None
