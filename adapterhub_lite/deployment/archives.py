"""A stranger's archive becomes a folder: regular files of plain names, streamed under limits.

Nothing of an archive's own decides where or how something is written: no link, device, mode or
owner is taken over, and a member that asks for one makes the whole archive be refused.
"""

import gzip
import io
import lzma
import re
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, BinaryIO, Final

from adapterhub_lite.deployment.untrusted import MIB
from adapterhub_lite.errors import BaseModelError, StorageError

MAX_MEMBERS: Final = 2_000
MAX_BYTES: Final = 64 * 2**10 * MIB
MAX_RATIO: Final = 50
"""Bytes that a byte may unpack to; weights that were trained do not halve."""
FREE_BYTES: Final = 64 * MIB
"""The ratio is not asked about so little: configs and fresh adapters are mostly repetition."""
MAX_DEPTH: Final = 4
CHUNK: Final = MIB
_PART: Final = re.compile(r"(?!\.{1,2}$)[\w.+=-][\w .+=@-]{0,199}")
BROKEN: Final = (
    OSError, EOFError, ValueError, LookupError, RuntimeError, NotImplementedError, struct.error,
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What reading a broken archive raises."""


@contextmanager
def unpacked(source: Path) -> Iterator[Path]:
    """Yield the folder that ``source`` is, or for the time being one with an archive's files.

    Zip, tar and tar.gz are told by their content; a folder that holds all the rest is entered.
    Raises BaseModelError for what is no such archive, or beyond its limits, and StorageError when
    the disk is too small.
    """
    if not source.is_file():
        yield source
        return
    with TemporaryDirectory(prefix="adapterhub-") as work:
        target = Path(work) / (source.name.partition(".")[0] or "archive")
        target.mkdir()
        try:
            _unpack(source, _Writer(target, source))
        except BROKEN as error:
            raise _refusal(source, f"it does not unpack ({type(error).__name__})") from error
        yield _inner(target)


def _unpack(source: Path, writer: "_Writer") -> None:
    with source.open("rb") as stream:
        start = stream.read(4)
        stream.seek(0)
        if start.startswith(b"PK"):
            _unzip(stream, writer)
        elif start.startswith(b"\x1f\x8b"):
            with gzip.open(stream) as opened:
                _untar(opened, writer)
        else:
            _untar(stream, writer)


class _Writer:
    """Writes members below a folder, and keeps count of what they take."""

    def __init__(self, target: Path, source: Path) -> None:
        self.target, self.source = target, source
        packed = source.stat().st_size
        self.limit = min(MAX_BYTES, max(FREE_BYTES, packed * MAX_RATIO))
        self.members = self.bytes = 0

    def count(self, size: int) -> None:
        """Add to the bytes that were unpacked; raises BaseModelError beyond the limit."""
        self.bytes += size
        if self.bytes > self.limit:
            raise _refusal(
                self.source, f"it unpacks to more than {self.limit // MIB} MiB, which is no model"
            )

    def member(self, name: str, *, is_folder: bool) -> Path | None:
        """Return where a file is written, None for a folder; raises BaseModelError."""
        self.members += 1
        if self.members > MAX_MEMBERS:
            raise _refusal(self.source, f"it has more than {MAX_MEMBERS} members")
        parts = name.removeprefix("./").removesuffix("/").split("/")
        if is_folder and name in (".", "./"):
            return None
        if len(parts) > MAX_DEPTH or not all(map(_PART.fullmatch, parts)):
            raise _refusal(self.source, f"it has a member called {name[:100]!r}")
        return None if is_folder else self.target.joinpath(*parts)

    def write(self, place: Path, stream: IO[bytes], *, counted: bool) -> None:
        """Write a regular file, a chunk at a time; ``counted`` where its stream counts already."""
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as target:
            while chunk := stream.read(CHUNK):
                if not counted:
                    self.count(len(chunk))
                if shutil.disk_usage(self.target).free < 2 * CHUNK:
                    raise StorageError(f"the disk is full: {self.source} does not unpack on it")
                target.write(chunk)


def _unzip(stream: BinaryIO, writer: _Writer) -> None:
    _check_directory(stream, writer.source)
    with zipfile.ZipFile(stream) as archive:
        for member in archive.infolist():
            kind = member.external_attr >> 28
            if kind not in (0, 0o4, 0o10) or member.flag_bits & 1:
                what = "is encrypted" if member.flag_bits & 1 else "is a link or a device"
                raise _refusal(writer.source, f"{member.filename[:100]!r} {what}")
            place = writer.member(member.filename, is_folder=member.is_dir())
            if place is not None:
                with archive.open(member) as opened:
                    writer.write(place, opened, counted=False)


def _check_directory(stream: BinaryIO, source: Path) -> None:
    """Judge a zip's directory, which is parsed as a whole, by the record at its end.

    A zip of more than 4 GiB has a second record, which could say otherwise: it is refused.
    """
    stream.seek(max(0, source.stat().st_size - 2**16 - 22))
    tail = stream.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0:
        raise _refusal(source, "its directory is cut off")
    members, size = struct.unpack_from("<HL", tail, end + 10)
    if members > MAX_MEMBERS or size > MAX_MEMBERS * 512:
        raise _refusal(source, f"it has more than {MAX_MEMBERS} members")
    if b"PK\x06\x07" in tail[max(0, end - 20) : end]:
        raise _refusal(source, "it is a zip of the 64-bit form; pack it as .tar.gz")
    stream.seek(0)


class _Counted(io.RawIOBase):
    """A stream that is read on and on, in small pieces, each counted before it is handed out."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile, writer: _Writer) -> None:
        self.stream, self.writer, self.place = stream, writer, 0

    def read(self, size: int = -1) -> bytes:
        """Return ``size`` bytes; raises BaseModelError for more than a header or chunk takes."""
        if not 0 <= size <= CHUNK:
            raise _refusal(self.writer.source, "it has a header that is too large")
        data = self.stream.read(size)
        self.place += len(data)
        self.writer.count(len(data))
        return data

    def tell(self) -> int:
        """Return how many bytes were read."""
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Read on to ``offset``; raises ValueError for a place that was passed."""
        if whence != io.SEEK_SET or offset < self.place:
            raise ValueError("a stream goes forward only")
        while self.place < offset and self.read(min(CHUNK, offset - self.place)):
            pass
        return self.place


def _untar(stream: BinaryIO | gzip.GzipFile, writer: _Writer) -> None:
    with tarfile.open(fileobj=_Counted(stream, writer), mode="r:") as archive:
        for member in archive:
            if not (member.isreg() or member.isdir()) or member.issparse():
                raise _refusal(writer.source, f"{member.name[:100]!r} is a link or a device")
            place = writer.member(member.name, is_folder=member.isdir())
            if place is not None:
                opened = archive.extractfile(member)
                assert opened is not None, "a regular file"
                writer.write(place, opened, counted=True)


def _inner(folder: Path) -> Path:
    """Return the folder that holds everything: archives are often of one."""
    found = list(folder.iterdir())
    return found[0] if len(found) == 1 and found[0].is_dir() else folder


def _refusal(source: Path, reason: str) -> BaseModelError:
    return BaseModelError(
        f"the archive {source} is refused: {reason}",
        ref=str(source),
        hint="give a .zip, .tar or .tar.gz of a folder with plain files, or the folder itself",
    )
