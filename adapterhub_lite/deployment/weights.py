"""Weights out of a stranger's folder: read once, and on the way judged, hashed and written.

The source may change while it is read. So what is judged are the bytes that are written, each
before it is; and nobody reads the source again.
"""

import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from adapterhub_lite.deployment.untrusted import MAX_HEADER, MIB, check_header_of, opened
from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.streaming.finite import first_fault, not_finite, with_finite_numbers

PREFIX: Final = 8
"""The bytes that tell how long a header is."""
BEFORE: Final = 10 * 10**9
"""So many nanoseconds before it was written a judged file is dated: any later change shows."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """A file as it was written: its hash, and by what one sees that nobody wrote to it since."""

    sha256: str
    size: int
    modified: int


_Seen = dict[tuple[int, int], _Judged]
_SEEN: ContextVar[_Seen | None] = ContextVar("judged weights", default=None)


class JudgedFiles:
    """Knows the files that :func:`copy_weights` wrote, wherever they were moved since."""

    def __init__(self, seen: _Seen) -> None:
        self._seen = seen

    def hashes(self, folder: Path) -> dict[str, str]:
        """Return name → SHA-256 of those in a folder to which nobody wrote since."""
        return {
            file.name: judged.sha256
            for file in folder.iterdir()
            if (judged := self._find(file.lstat())) is not None
        }

    def _find(self, file: os.stat_result) -> _Judged | None:
        judged = self._seen.get((file.st_dev, file.st_ino))
        same = judged and (judged.size, judged.modified) == (file.st_size, file.st_mtime_ns)
        return judged if same else None


@contextmanager
def remembering() -> Iterator[JudgedFiles]:
    """Remember which files are written by :func:`copy_weights` in this block."""
    seen: _Seen = {}
    token = _SEEN.set(seen)
    try:
        yield JudgedFiles(seen)
    finally:
        _SEEN.reset(token)


def copy_weights(source: Path, name: str, limit: int, destination: Path) -> None:
    """Copy the safetensors file ``name`` of the folder ``source`` into ``destination``.

    Raises BaseModelError as ``copy_file`` does, for a header that ``check_header`` refuses before
    more is read, for a number that is not finite, and for a file that changes meanwhile; and
    StorageError when the disk is too small.
    """
    from adapterhub_lite_registry.blobs import copy_hashing
    from adapterhub_lite_registry.faults import storage_error
    from adapterhub_lite_registry.io import FileIO, at_most, closing

    ref, target, io = str(source), destination / name, FileIO()
    with opened(source, name, limit) as stream:
        size = os.fstat(stream.fileno()).st_size
        chunks = at_most(size, iter(lambda: stream.read(MIB), b""))
        judged = with_finite_numbers(with_checked_header(chunks, size, name, ref), name, ref)
        try:
            with closing(io, io.create(target, 0o444)) as fd:
                sha256, written = copy_hashing(io, judged, fd)
        except OSError as error:
            raise storage_error(f"copy {name} of {ref}", error) from error
    if written != size:
        raise BaseModelError(f"{name} of {ref} changed while it was read", ref=ref)
    _remember(target, sha256)


def refuse_infinite(file: Path, ref: str) -> None:
    """Raise BaseModelError for a number that is not finite in a file whose header is right."""
    if (tensor := first_fault(file)) is not None:
        raise not_finite(file.name, ref, tensor)


def _remember(file: Path, sha256: str) -> None:
    if (seen := _SEEN.get()) is not None:
        found = file.stat()
        modified = found.st_mtime_ns - BEFORE
        os.utime(file, ns=(modified, modified))
        # what the file system keeps of it
        kept = _Judged(sha256, found.st_size, file.stat().st_mtime_ns)
        seen[found.st_dev, found.st_ino] = kept


def with_checked_header(
    chunks: Iterable[bytes], size: int, name: str, where: str
) -> Iterator[bytes]:
    """Hand on the chunks of a file of ``size`` bytes, none of them before its header was judged.

    The first has the whole header. Raises BaseModelError for one that safetensors should not be
    asked to parse.
    """
    head = bytearray()
    judged = False
    for chunk in chunks:
        if judged:
            yield chunk
            continue
        head += chunk
        if len(head) < _needed(head):
            continue
        check_header_of(BytesIO(head), size, name, where)
        judged = True
        yield bytes(head)
    if not judged:
        check_header_of(BytesIO(head), size, name, where)


def _needed(head: bytearray) -> int:
    """Return how many bytes tell all, as far as ``head`` lets know; never more than are read."""
    if len(head) < PREFIX:
        return PREFIX
    (length,) = struct.unpack("<Q", head[:PREFIX])
    return PREFIX + int(length) if length <= MAX_HEADER else 0
