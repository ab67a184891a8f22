"""Files in progress, which vanish unless they are moved into place."""

import os
import secrets
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from adapterhub_lite_registry.io import FileIO, remove_tree, write_new
from adapterhub_lite_registry.walk import Tally, tally

_ABANDONED_AFTER = 24 * 3600


class Workspace:
    """Hands out unused paths in a folder, and removes at the end what still lies there."""

    def __init__(self, io: FileIO, folder: str) -> None:
        self._io = io
        self._folder = folder
        self._paths: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for path in self._paths:
            # What cannot be removed now is swept later; it must not hide how the work ended.
            with suppress(OSError):
                remove_tree(self._io, path)

    def path(self, prefix: str = "") -> str:
        """Return a path that nothing uses."""
        path = f"{self._folder}/{prefix}{secrets.token_hex(12)}"
        self._paths.append(path)
        return path

    def write(self, data: bytes, *, mode: int = 0o644) -> str:
        """Write ``data`` durably under an unused path, and return that."""
        path = self.path()
        write_new(self._io, path, data, mode=mode)
        return path

    def discard(self, path: str) -> None:
        """Remove one path before the end, if it is of this workspace."""
        if path in self._paths:
            remove_tree(self._io, path)
            self._paths.remove(path)


def sweep(io: FileIO, folder: str, *, dry_run: bool = False) -> Tally:
    """Remove what writers that were killed left behind a day ago or earlier; return how much."""
    oldest = time.time() - _ABANDONED_AFTER
    files = size = 0
    for entry in io.listdir(folder):
        path = os.path.join(folder, entry)
        with suppress(OSError):
            if io.lstat(path).st_mtime < oldest:
                found = tally(io, path)
                if not dry_run:
                    remove_tree(io, path)
                files, size = files + found.files, size + found.bytes
    return Tally(files, size)
