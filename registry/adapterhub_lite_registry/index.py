"""The index: what is searched, in SQLite, always rebuilt from the files when in doubt.

Nothing writes to it but catching up with the files, which happens at the moment of a search.
A publish therefore costs no SQLite, and one that was killed right after its commit is found like
any other. Whether there is anything to catch up with is told by the mtime of each name's folder
of references: one ``stat`` per name, however many versions it has.

SQLite's own file and its lock are what does not go through the I/O facade.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from adapterhub_lite_registry.catchup import CatchUp
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.locks import locked

T = TypeVar("T")

SCHEMA_VERSION = 1
_BUSY_SECONDS = 60

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS scanned (name TEXT PRIMARY KEY, mtime INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refs (
    name TEXT NOT NULL, number INTEGER NOT NULL, inode INTEGER NOT NULL, damage TEXT,
    PRIMARY KEY (name, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS versions (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, number INTEGER NOT NULL, digest TEXT NOT NULL,
    kind TEXT NOT NULL, base TEXT, base_weights TEXT, method TEXT, task TEXT,
    created_at TEXT NOT NULL, size INTEGER NOT NULL, metrics TEXT NOT NULL,
    UNIQUE (name, number)
);
CREATE INDEX IF NOT EXISTS by_digest ON versions (digest);
CREATE INDEX IF NOT EXISTS by_parts ON versions (base, method, task, created_at);
CREATE INDEX IF NOT EXISTS by_weights ON versions (base_weights, created_at);
CREATE INDEX IF NOT EXISTS by_method ON versions (method, task, created_at);
CREATE INDEX IF NOT EXISTS by_task ON versions (task, created_at);
CREATE INDEX IF NOT EXISTS by_kind ON versions (kind, created_at);
CREATE INDEX IF NOT EXISTS by_time ON versions (created_at);
CREATE TABLE IF NOT EXISTS metrics (
    version INTEGER NOT NULL, name TEXT NOT NULL, value REAL NOT NULL,
    PRIMARY KEY (version, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_value ON metrics (name, value);
CREATE TABLE IF NOT EXISTS parents (
    parent TEXT NOT NULL, version INTEGER NOT NULL, role TEXT, weight REAL
);
CREATE INDEX IF NOT EXISTS by_parent ON parents (parent);
CREATE INDEX IF NOT EXISTS by_child ON parents (version);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (text);
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""

_UNUSABLE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}


class Index:
    """Runs queries on a connection that has caught up with the files."""

    def __init__(self, layout: Layout, catch_up: CatchUp) -> None:
        self._path = layout.index
        self._lock = f"{layout.home}/index.lock"
        self._catch_up = catch_up

    def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Return the answer to a query, from the file, from a new file, or from memory.

        A connection lives for one question, so that a registry can be used from any thread and
        after a fork, and needs no closing.
        """
        try:
            return self._ask_file(question)
        except sqlite3.Error as error:
            if _basic_code(error) not in _UNUSABLE:
                return self._ask_memory(question)
        except OSError:  # not even the lock file: a registry that may only be read
            return self._ask_memory(question)
        try:
            self.reset()
            return self._ask_file(question)
        except (sqlite3.Error, OSError):
            return self._ask_memory(question)

    def reset(self) -> None:
        """Remove the index; the next question builds it again."""
        with locked(self._lock, exclusive=True):
            for ending in ("", "-wal", "-shm"):
                Path(self._path + ending).unlink(missing_ok=True)

    def _ask_file(self, question: Callable[[sqlite3.Connection], T]) -> T:
        with (
            locked(self._lock, exclusive=False),
            closing(sqlite3.connect(self._path, _BUSY_SECONDS, isolation_level=None)) as connection,
        ):
            return self._ask(connection, question)

    def _ask_memory(self, question: Callable[[sqlite3.Connection], T]) -> T:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            return self._ask(connection, question)

    def _ask(
        self, connection: sqlite3.Connection, question: Callable[[sqlite3.Connection], T]
    ) -> T:
        _prepare(connection)
        self._catch_up.run(connection)
        return question(connection)


def _prepare(connection: sqlite3.Connection) -> None:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found not in (0, SCHEMA_VERSION):
        outdated = sqlite3.DatabaseError(f"index of schema {found}")
        outdated.sqlite_errorcode = sqlite3.SQLITE_NOTADB
        raise outdated
    if found == 0:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
    connection.execute("PRAGMA synchronous = NORMAL")


def _basic_code(error: sqlite3.Error) -> int:
    """Return the first byte of the error code; an error without one counts as a broken file."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
