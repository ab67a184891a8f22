"""Where bytes go that nothing needs, or that are damaged, before they are gone for good.

::

    quarantine/<time>-<token>/blob-<hex>      one folder a run; also manifest-, damaged-blob-, …

A file gets its new name durably before it loses the old one, so that no crash loses it.
"""

import secrets
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from adapterhub_lite_registry.io import FileIO, ensure_dir, exists, parent, remove_tree
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.walk import Tally, tally

_STAMP = "%Y%m%dT%H%M%S%f"


class Quarantine:
    """Takes files in, gives them back, and is emptied."""

    def __init__(self, io: FileIO, layout: Layout) -> None:
        self._io = io
        self._home = layout.home
        self._root = f"{layout.home}/quarantine"

    def take(self, files: Mapping[str, str]) -> None:
        """Move files, path → name, into a new folder here."""
        if not files:
            return
        folder = self._new_folder()
        for path, name in files.items():
            self._io.link(path, f"{folder}/{name}")
        self._io.fsync_dir(folder)
        for path in files:
            self._io.unlink(path)
        for place in sorted({parent(path) for path in files}):
            self._io.fsync_dir(place)  # or damaged bytes might be back, as if never found

    def give_back(self, path: str, target: str) -> None:
        """Move a file from here to its place, which is empty."""
        self._io.link(path, target)
        self._io.fsync_dir(parent(target))
        self._io.unlink(path)

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield name and path of every file here, newest first."""
        for run in sorted(self._runs(), reverse=True):
            for name in sorted(self._io.listdir(f"{self._root}/{run}")):
                yield name, f"{self._root}/{run}/{name}"

    def tally(self) -> Tally:
        """Return how much lies here."""
        return tally(self._io, self._root)

    def empty(self, older_than: float, *, dry_run: bool) -> Tally:
        """Remove for good what came more than ``older_than`` seconds ago; return how much."""
        latest = time.time() - older_than
        files = size = 0
        for run in self._runs():
            came = datetime.strptime(run.partition("-")[0], _STAMP).replace(tzinfo=UTC)
            if came.timestamp() > latest:
                continue
            found = tally(self._io, f"{self._root}/{run}")
            files, size = files + found.files, size + found.bytes
            if not dry_run:
                remove_tree(self._io, f"{self._root}/{run}")
        return Tally(files, size)

    def _runs(self) -> list[str]:
        return self._io.listdir(self._root) if exists(self._io, self._root) else []

    def _new_folder(self) -> str:
        ensure_dir(self._io, self._root)
        self._io.fsync_dir(self._home)
        stamp = datetime.now(UTC).strftime(_STAMP)
        folder = f"{self._root}/{stamp}-{secrets.token_hex(4)}"
        self._io.mkdir(folder)
        self._io.fsync_dir(self._root)
        return folder
