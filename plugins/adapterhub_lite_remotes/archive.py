"""A tar archive as a table of files: read without extracting, of regular files alone.

The library's own reader follows links between members and takes extended headers of any length
into memory. What is written here needs neither, so what has them is refused.
"""

import fcntl
import os
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from adapterhub_lite.errors import IntegrityError
from adapterhub_lite_remotes.layout import CHUNK

BLOCK: Final = tarfile.BLOCKSIZE
OCTAL: Final = 8**11
"""A size from here on has no place in a plain header's digits."""
MAX_MEMBERS: Final = 200_000


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: where its header begins, and how many bytes it has."""

    start: int
    size: int

    @property
    def data(self) -> int:
        """Where its bytes begin."""
        return self.start + BLOCK

    @property
    def end(self) -> int:
        """Where the next header may begin."""
        return self.data + -(-self.size // BLOCK) * BLOCK


def read_members(file: Path) -> dict[str, Member]:
    """Return an archive's files by name; raises IntegrityError for anything else in it."""
    total = file.stat().st_size
    members: dict[str, Member] = {}
    place = 0
    with file.open("rb") as stream:
        while (head := _header(stream, place, file)) is not None:
            member = Member(place, head.size)
            if head.name in members or len(members) >= MAX_MEMBERS:
                raise IntegrityError(f"{file}: {head.name!r} is there twice, or one too many")
            if head.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                raise IntegrityError(f"{file}: {head.name!r} is no regular file")
            if head.size < 0 or member.end > total:
                raise IntegrityError(f"{file} is cut off in {head.name!r}")
            members[head.name] = member
            place = member.end
    return members


def _header(stream: BinaryIO, place: int, file: Path) -> tarfile.TarInfo | None:
    """Return the header at ``place``; None at the end, which is a block of zeros."""
    stream.seek(place)
    block = stream.read(BLOCK)
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
        return None
    except (tarfile.HeaderError, ValueError) as error:
        raise IntegrityError(f"{file} is no whole tar archive: {error}") from error


def read_member(file: Path, member: Member) -> Iterator[bytes]:
    """Yield a member's bytes."""
    with file.open("rb") as stream:
        yield from copy_range(stream, member.data, member.size)


def copy_range(stream: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    """Yield ``size`` bytes of a stream from ``start`` on."""
    stream.seek(start)
    while size > 0 and (chunk := stream.read(min(size, CHUNK))):
        yield chunk
        size -= len(chunk)


class Writer:
    """Writes an archive beside its place, and moves it there whole; one process at a time.

    Raises BlockingIOError when another one is writing. The system frees the lock of one that died,
    and what it left is written over.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._beside = target.with_name(f".{target.name}.part")
        self._stream = self._beside.open("r+b" if self._beside.exists() else "w+b")
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._stream.close()
            raise
        self._place = 0
        self.members: dict[str, Member] = {}

    def copy(self, file: Path, name: str, member: Member) -> None:
        """Take a member over from another archive."""
        with file.open("rb") as stream:
            self.add(name, member.size, copy_range(stream, member.data, member.size))

    def add(self, name: str, size: int, chunks: Iterable[bytes]) -> None:
        """Append a file; one whose chunks raise, or are not ``size`` bytes, is taken back."""
        member = Member(self._place, size)
        self._stream.seek(self._place)
        self._stream.truncate()
        self._stream.write(head_block(name, size))
        written = 0
        for chunk in chunks:
            written += len(chunk)
            self._stream.write(chunk)
        if written != size:
            raise IntegrityError(f"{name}: {written:,} bytes came, not {size:,}")
        self._stream.write(bytes(member.end - member.data - size))
        self._place = member.end
        self.members[name] = member

    def finish(self) -> None:
        """End the archive, make it durable, and put it in its place."""
        self._stream.seek(self._place)
        self._stream.truncate()
        self._stream.write(bytes(2 * BLOCK))
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self._beside.replace(self._target)

    def drop(self) -> None:
        """Remove what was not finished."""
        self._stream.close()
        with suppress(FileNotFoundError):
            self._beside.unlink()


def head_block(name: str, size: int) -> bytes:
    """Return a member's header."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    # a plain header holds all names that are used here, and sizes up to 8 GiB
    if size < OCTAL:
        return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")
