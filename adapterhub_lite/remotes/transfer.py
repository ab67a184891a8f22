"""What pushing and pulling do alike: bytes that are hashed on their way, and counted."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from adapterhub_lite.errors import IntegrityError

if TYPE_CHECKING:
    from adapterhub_lite_registry import FileEntry, Manifest

Progress = Callable[[int, int], None]
"""Told how many bytes have moved, of how many."""


class Tally:
    """Counts the bytes of a transfer, and tells of them."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.done = 0
        self._total = total
        self._progress = progress

    def add(self, count: int) -> None:
        """Count bytes that have moved."""
        self.done += count
        if self._progress is not None:
            self._progress(self.done, self._total)


def checked(chunks: Iterable[bytes], entry: "FileEntry", where: str) -> Iterator[bytes]:
    """Hand chunks on; raises IntegrityError as soon as they are too many, or at the end."""
    hasher = hashlib.sha256()
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > entry.size:
            break
        hasher.update(chunk)
        yield chunk
    if (hasher.hexdigest(), size) != (entry.sha256, entry.size):
        raise IntegrityError(f"{where}: {entry.path} is not what its hash says")


def counted(chunks: Iterable[bytes], tally: Tally) -> Iterator[bytes]:
    """Hand chunks on and count them."""
    for chunk in chunks:
        yield chunk
        tally.add(len(chunk))


def distinct(manifest: "Manifest") -> list["FileEntry"]:
    """Return an entry for each different content among a version's files."""
    return list({entry.sha256: entry for entry in reversed(manifest.files)}.values())[::-1]
