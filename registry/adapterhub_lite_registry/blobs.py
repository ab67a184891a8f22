"""Content-addressed files: written once, hashed while they are written."""

import hashlib
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from adapterhub_lite_registry.io import FileIO, closing, ensure_dir, parent
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.stamps import Stamps
from adapterhub_lite_registry.temporary import Workspace

BEHIND = 1 << 26
"""So many bytes are written before the disk is asked to take them, while more are written."""


@dataclass(frozen=True)
class Staged:
    """A file in the workspace whose bytes are known but not yet durable."""

    path: str
    sha256: str
    size: int


class BlobStore:
    """Puts files where their digest says."""

    def __init__(self, io: FileIO, layout: Layout) -> None:
        self._io = io
        self._layout = layout
        self._stamps = Stamps(io, layout)

    def has(self, sha256: str, size: int) -> bool:
        """Tell whether a blob is here and undamaged."""
        return self._stamps.matches(self._layout.blob(sha256), sha256, size)

    def stage(self, chunks: Iterable[bytes], work: Workspace) -> Staged:
        """Write chunks into the workspace, hashing them on the way."""
        path = work.path()
        with closing(self._io, self._io.create(path, 0o444)) as fd:
            sha256, size = copy_hashing(self._io, chunks, fd)
        return Staged(path, sha256, size)

    def install(self, staged: Staged, work: Workspace) -> str:
        """Give staged bytes their place and return the folder that the caller must sync.

        Bytes that are there already are trusted after they were hashed, now or under a stamp; if
        they are damaged, the good ones take their place. The folder wants its sync in either
        case: whoever put the blob there may not have come to it yet.
        """
        target = self._layout.blob(staged.sha256)
        if not self._stamps.matches(target, staged.sha256, staged.size):
            self._sync(staged.path)
            self._place(staged, target)
        work.discard(staged.path)
        return parent(target)

    def _sync(self, path: str) -> None:
        with closing(self._io, self._io.open(path)) as fd:
            self._io.fsync(fd)

    def _place(self, staged: Staged, target: str) -> None:
        try:
            link_into_shard(self._io, staged.path, target)
        except FileExistsError:
            if not self._stamps.matches(target, staged.sha256, staged.size):
                self._io.rename(staged.path, target)


def link_into_shard(io: FileIO, source: str, target: str) -> None:
    """Link a file into its shard, making the shard again if somebody removed it."""
    try:
        io.link(source, target)
    except FileNotFoundError:
        shard = parent(target)
        ensure_dir(io, shard)
        io.fsync_dir(parent(shard))
        io.link(source, target)


def copy_hashing(io: FileIO, chunks: Iterable[bytes], fd: int) -> tuple[str, int]:
    """Write chunks to ``fd``; return their hex SHA-256 and their number of bytes.

    From the second chunk on a thread hashes one while it is written, and another has the disk take
    what was written before: all let go of the interpreter's lock, so that a large file takes the
    time of the slowest of the three.
    """
    hasher = hashlib.sha256()
    size = behind = 0
    hashing: Future[None] | None = None
    syncing: Future[None] | None = None
    with ThreadPoolExecutor(2) as pool:  # it starts its threads when there are tasks
        for chunk in chunks:
            if hashing is not None:
                hashing.result()
            if size == 0:
                hasher.update(chunk)
            else:
                hashing = pool.submit(hasher.update, chunk)
            io.write(fd, chunk)
            size += len(chunk)
            if size - behind >= BEHIND and (syncing is None or syncing.done()):
                if syncing is not None:
                    syncing.result()
                syncing, behind = pool.submit(io.write_back, fd), size
        for last in (hashing, syncing):
            if last is not None:
                last.result()
    return hasher.hexdigest(), size
