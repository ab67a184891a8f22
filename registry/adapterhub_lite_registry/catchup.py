"""Bringing the index up to date with the references on disk."""

import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

from adapterhub_lite_registry.errors import RegistryError
from adapterhub_lite_registry.io import FileIO
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.manifest import Manifest
from adapterhub_lite_registry.refs import RefStore, version_number
from adapterhub_lite_registry.stamps import SETTLED_NS
from adapterhub_lite_registry.versions import Version, VersionReader

_SEARCHED_SPLIT = "test"


@dataclass(frozen=True)
class Change:
    """What one name's references have become since the index last looked."""

    name: str
    mtime: int | None  # None: too recent to be trusted next time
    new: dict[int, int]  # number → inode
    gone: list[int]


class CatchUp:
    """Compares the references with the index, and reads what is new into it."""

    def __init__(self, io: FileIO, layout: Layout, refs: RefStore, reader: VersionReader) -> None:
        self._io = io
        self._layout = layout
        self._refs = refs
        self._reader = reader

    def run(self, connection: sqlite3.Connection) -> None:
        """Make the index show every version committed before the call."""
        if next(self._changes(connection), None) is None:
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Whoever held the lock before us may have done it all.
            for change in list(self._changes(connection)):
                self._apply(connection, change)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite ends it by itself when the disk is full
                connection.execute("ROLLBACK")
            raise

    def _changes(self, connection: sqlite3.Connection) -> Iterator[Change]:
        scanned = dict(connection.execute("SELECT name, mtime FROM scanned"))
        now = time.time_ns()
        for name in self._refs.names():
            mtime = self._mtime(name)
            if mtime == scanned.pop(name, None):
                continue
            change = self._compare(connection, name, mtime if now - mtime > SETTLED_NS else None)
            if change.new or change.gone or change.mtime is not None:
                yield change
        for name in scanned:
            yield self._compare(connection, name, None)

    def _mtime(self, name: str) -> int:
        try:
            return self._io.stat(self._layout.versions(name)).st_mtime_ns
        except FileNotFoundError:
            return 0  # the name is just being made

    def _compare(self, connection: sqlite3.Connection, name: str, mtime: int | None) -> Change:
        found = self._inodes(name)
        known = dict(connection.execute("SELECT number, inode FROM refs WHERE name = ?", (name,)))
        new = {number: inode for number, inode in found.items() if known.get(number) != inode}
        return Change(name, mtime, new, sorted(known.keys() - found.keys()))

    def _inodes(self, name: str) -> dict[int, int]:
        """Return number → inode. A removal puts a new file in place, so it shows as well."""
        try:
            entries = self._io.inodes(self._layout.versions(name))
        except FileNotFoundError:
            return {}
        numbered = {version_number(entry): inode for entry, inode in entries.items()}
        return {number: inode for number, inode in numbered.items() if number is not None}

    def _apply(self, connection: sqlite3.Connection, change: Change) -> None:
        for number in [*change.gone, *change.new]:
            _forget(connection, change.name, number)
        for number, inode in sorted(change.new.items()):
            damage = self._read_in(connection, change.name, number)
            connection.execute(
                "INSERT INTO refs VALUES (?, ?, ?, ?)", (change.name, number, inode, damage)
            )
        if change.mtime is None:
            connection.execute("DELETE FROM scanned WHERE name = ?", (change.name,))
        else:
            connection.execute(
                "INSERT OR REPLACE INTO scanned VALUES (?, ?)", (change.name, change.mtime)
            )

    def _read_in(self, connection: sqlite3.Connection, name: str, number: int) -> str | None:
        """Insert one version; return why it cannot be read, if so. One bad file stops nothing."""
        try:
            ref = self._refs.read(name, number)
            if not ref.removed:
                _insert(connection, self._reader.load(ref))
        except RegistryError as error:
            return error.message
        except OSError as error:
            return str(error)
        return None


def _forget(connection: sqlite3.Connection, name: str, number: int) -> None:
    place = (name, number)
    row = connection.execute(
        "SELECT id FROM versions WHERE name = ? AND number = ?", place
    ).fetchone()
    connection.execute("DELETE FROM refs WHERE name = ? AND number = ?", place)
    if row is not None:
        connection.execute("DELETE FROM versions WHERE id = ?", row)
        connection.execute("DELETE FROM metrics WHERE version = ?", row)
        connection.execute("DELETE FROM parents WHERE version = ?", row)
        connection.execute("DELETE FROM words WHERE rowid = ?", row)


def _insert(connection: sqlite3.Connection, version: Version) -> None:
    manifest = version.manifest
    base, method = manifest.base, manifest.method
    metrics = _searched_metrics(manifest)
    row = connection.execute(
        "INSERT INTO versions VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            version.name,
            version.number,
            version.digest,
            manifest.kind,
            base.ref if base else None,
            base.weights_sha256 if base else None,
            method.name if method else None,
            manifest.task,
            manifest.created_at,
            manifest.size,
            json.dumps(metrics, sort_keys=True),
        ),
    ).lastrowid
    connection.executemany(
        "INSERT INTO metrics VALUES (?, ?, ?)",
        [(row, name, value) for name, value in metrics.items()],
    )
    connection.executemany(
        "INSERT INTO parents VALUES (?, ?, ?, ?)",
        [(parent.digest, row, parent.role, parent.weight) for parent in manifest.parents],
    )
    connection.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (row, _words(manifest)))


def _searched_metrics(manifest: Manifest) -> dict[str, float]:
    """Return one value per metric: that of the split ``test`` if listed, else the first."""
    values: dict[str, float] = {}
    for metric in manifest.metrics:
        if isfinite(metric.value) and (
            metric.name not in values or metric.split == _SEARCHED_SPLIT
        ):
            values[metric.name] = metric.value
    return values


def _words(manifest: Manifest) -> str:
    """Return the text that a word search looks through."""
    parts = [
        manifest.name,
        manifest.kind,
        manifest.description,
        manifest.task,
        manifest.method.name if manifest.method else None,
        manifest.objective.name if manifest.objective else None,
        manifest.base.ref if manifest.base else None,
        manifest.dataset.id if manifest.dataset else None,
        *(manifest.signature.labels if manifest.signature else ()),
    ]
    return " ".join(part for part in parts if part)
