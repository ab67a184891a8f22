"""Which files were hashed and found right, so that they are not hashed at every load.

A stamp says what a file looked like when its bytes matched: inode, size, mtime and ctime. Any
write changes the ctime, also one that sets the mtime back. What a stamp cannot see is a disk that
returns other bytes than it was given: ``fsck`` trusts no stamp.
"""

import hashlib
import os
import time
from contextlib import suppress

from adapterhub_lite_registry.io import FileIO, read_chunks, read_small
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.temporary import Workspace

SETTLED_NS = 2_000_000_000
"""File times tick coarsely: a file changed less than this ago may change again unseen."""

_LIMIT = 128


def hash_file(io: FileIO, path: str) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    hasher = hashlib.sha256()
    for chunk in read_chunks(io, path):
        hasher.update(chunk)
    return hasher.hexdigest()


class Stamps:
    """Checks files against digests, remembering the outcome beside the store."""

    def __init__(self, io: FileIO, layout: Layout) -> None:
        self._io = io
        self._layout = layout

    def matches(self, path: str, sha256: str, size: int) -> bool:
        """Tell whether the file at ``path`` has these bytes; False also if there is none."""
        try:
            before = self._io.stat(path)
            if before.st_size != size:
                return False
            if self._is_stamped(sha256, before):
                return True
            if hash_file(self._io, path) != sha256:
                return False
        except FileNotFoundError:
            return False
        if time.time_ns() - before.st_ctime_ns > SETTLED_NS:
            self._stamp(sha256, before)
        return True

    def _path(self, sha256: str, file: os.stat_result) -> str:
        return f"{self._layout.verified}/{sha256}.{file.st_ino}"

    def _is_stamped(self, sha256: str, file: os.stat_result) -> bool:
        try:
            return read_small(self._io, self._path(sha256, file), _LIMIT) == _describe(file)
        except FileNotFoundError:
            return False

    def _stamp(self, sha256: str, file: os.stat_result) -> None:
        """Keep a stamp, if it can be kept: a registry may be read by those who cannot write."""
        with suppress(OSError), Workspace(self._io, self._layout.tmp) as work:
            temporary = work.path()
            fd = self._io.create(temporary)
            try:
                self._io.write(fd, _describe(file))
            finally:
                self._io.close(fd)
            self._io.rename(temporary, self._path(sha256, file))


def _describe(file: os.stat_result) -> bytes:
    return f"{file.st_ino} {file.st_size} {file.st_mtime_ns} {file.st_ctime_ns}\n".encode()
