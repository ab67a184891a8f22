"""The one door to the disk.

Everything the registry keeps goes through a :class:`FileIO`, so that a test can count the syncs,
make the Nth call fail, or put a model of a crashing disk in its place. Two things stay outside:
SQLite's file, which is an index that can be thrown away, and the lock files, which hold no data.
"""

# This module is the system calls themselves; pathlib would be a second layer over them.
# ruff: noqa: PTH102, PTH104, PTH106, PTH116, PTH211

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from stat import S_ISDIR
from typing import TypeAlias

StrPath: TypeAlias = str | os.PathLike[str]

CHUNK = 1 << 20
_FICLONE = 0x40049409


class FileIO:
    """The system calls that the registry uses, one method each; every one raises OSError."""

    def open(self, path: StrPath) -> int:
        """Open an existing file for reading."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def create(self, path: StrPath, mode: int = 0o644) -> int:
        """Create a file that must not exist yet, for writing."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)

    def append(self, path: StrPath) -> int:
        """Open a file for appending, creating it if need be."""
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def read(self, fd: int, size: int) -> bytes:
        """Read at most ``size`` bytes; empty at the end."""
        return os.read(fd, size)

    def write(self, fd: int, data: bytes) -> None:
        """Write all of ``data``."""
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    def fsync(self, fd: int) -> None:
        """Make a file's bytes durable."""
        os.fsync(fd)

    def write_back(self, fd: int) -> None:
        """Bring to the disk what was written so far, so that a later sync has less to do.

        Nothing relies on it. An error counts: the system tells of a lost write only once.
        """
        os.fdatasync(fd)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def fsync_dir(self, path: StrPath) -> None:
        """Make a directory's entries durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def link(self, source: StrPath, target: StrPath) -> None:
        """Give a file a second name; fails if ``target`` exists."""
        os.link(source, target)

    def symlink(self, source: StrPath, target: StrPath) -> None:
        """Point ``target`` at ``source``; fails if ``target`` exists."""
        os.symlink(source, target)

    def reflink(self, source: StrPath, target: StrPath) -> None:
        """Clone a file copy-on-write into a new one; fails where the file system cannot."""
        with closing(self, self.open(source)) as read_fd:
            write_fd = self.create(target)
            try:
                fcntl.ioctl(write_fd, _FICLONE, read_fd)
            except OSError:
                self.unlink(target)
                raise
            finally:
                self.close(write_fd)

    def rename(self, source: StrPath, target: StrPath) -> None:
        """Move a name, replacing ``target`` in one step."""
        os.rename(source, target)

    def unlink(self, path: StrPath) -> None:
        """Remove a file's name."""
        os.unlink(path)

    def mkdir(self, path: StrPath) -> None:
        """Create one directory."""
        os.mkdir(path)

    def rmdir(self, path: StrPath) -> None:
        """Remove one empty directory."""
        os.rmdir(path)

    def listdir(self, path: StrPath) -> list[str]:
        """Return the names in a directory, in no order."""
        return os.listdir(path)

    def inodes(self, path: StrPath) -> dict[str, int]:
        """Return the names in a directory with their inode numbers; costs no stat."""
        with os.scandir(path) as entries:
            return {entry.name: entry.inode() for entry in entries}

    def stat(self, path: StrPath) -> os.stat_result:
        """Describe what a path leads to."""
        return os.stat(path)

    def lstat(self, path: StrPath) -> os.stat_result:
        """Describe the path itself, without following a symbolic link."""
        return os.lstat(path)

    def free(self, path: StrPath) -> int:
        """Return how many bytes may still be written to the disk that ``path`` lies on."""
        disk = os.statvfs(path)
        return disk.f_bavail * disk.f_frsize


@contextmanager
def closing(io: FileIO, fd: int) -> Iterator[int]:
    """Close ``fd`` at the end; an error while closing counts, since it can be a lost write."""
    try:
        yield fd
    except BaseException:
        with suppress(OSError):  # the first error is the one to report
            io.close(fd)
        raise
    io.close(fd)


def read_chunks(io: FileIO, path: StrPath, size: int = CHUNK) -> Iterator[bytes]:
    """Yield a file's bytes in chunks."""
    with closing(io, io.open(path)) as fd:
        while chunk := io.read(fd, size):
            yield chunk


def read_small(io: FileIO, path: StrPath, limit: int) -> bytes:
    """Return a file's bytes, reading at most one more than ``limit``."""
    parts: list[bytes] = []
    left = limit + 1
    with closing(io, io.open(path)) as fd:
        while left > 0 and (chunk := io.read(fd, min(left, CHUNK))):
            parts.append(chunk)
            left -= len(chunk)
    return b"".join(parts)


def at_most(size: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Hand on chunks until they are more than ``size`` bytes in all; one byte more tells."""
    left = size + 1
    for chunk in chunks:
        yield chunk[:left]
        left -= len(chunk)
        if left <= 0:
            return


def write_new(io: FileIO, path: StrPath, data: bytes, *, mode: int = 0o644) -> None:
    """Write a new file and make its bytes durable; the caller syncs the directory."""
    with closing(io, io.create(path, mode)) as fd:
        io.write(fd, data)
        io.fsync(fd)


def ensure_dir(io: FileIO, path: StrPath) -> None:
    """Create a directory unless it is there; the caller syncs its parent."""
    try:
        io.mkdir(path)
    except FileExistsError:
        if not S_ISDIR(io.stat(path).st_mode):
            raise


def parent(path: str) -> str:
    """Return the folder that an absolute path lies in."""
    return path.rpartition("/")[0]


def exists(io: FileIO, path: StrPath) -> bool:
    """Tell whether a path leads to something."""
    try:
        io.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def remove_tree(io: FileIO, path: StrPath) -> None:
    """Remove a file or a folder with all below it; what is already gone is no error."""
    try:
        io.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EPERM):
            raise
        for child in io.listdir(path):
            remove_tree(io, os.path.join(path, child))
        io.rmdir(path)
