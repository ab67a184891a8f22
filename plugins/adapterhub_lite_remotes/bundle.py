"""A bundle: one file that holds versions, a tar archive laid out as a registry is.

Each change of a reference writes the archive anew beside the old one and moves it into its place,
so that a bundle is whole at any time.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from adapterhub_lite.errors import NotFoundError, RemoteError
from adapterhub_lite_remotes import layout
from adapterhub_lite_remotes.archive import Member, Writer, read_member, read_members

Identity: TypeAlias = tuple[int, int, int]
"""What tells one state of a file from another: inode, size, time."""


def open_bundle(address: str, *, create: bool) -> "BundleRemote":
    """Open a bundle; raises RemoteError when there is none, or when the file is another."""
    path = layout.local_path(address)
    with _told(address):
        if path.is_file():
            seen = _identity(path)
            return BundleRemote(address, path, _checked_members(address, path), seen)
        if path.exists() or not create:
            what = "is no file" if path.exists() else "is not there"
            raise RemoteError(f"the bundle {path} {what}", remote=address)
        path.parent.mkdir(parents=True, exist_ok=True)
    return BundleRemote(address, path, {}, None)


def _checked_members(address: str, path: Path) -> dict[str, Member]:
    members = read_members(path)
    mark = members.get(layout.FORMAT)
    if mark is None or _small(path, mark) != layout.MARK:
        raise RemoteError(
            f"{path} is no bundle, or of a newer format",
            remote=address,
            hint="a bundle is made by: ahl push REF bundle:FILE",
        )
    return members


@contextmanager
def _told(address: str) -> Iterator[None]:
    """Turn the system's refusals into RemoteErrors."""
    try:
        yield
    except BlockingIOError as error:
        raise _changed(address) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RemoteError(f"{address} refuses: {reason}", remote=address) from error


def _small(path: Path, member: Member) -> bytes:
    """Return a short member's bytes; of a longer one enough to be refused."""
    short = Member(member.start, min(member.size, layout.LONGEST_REF + 1))
    return b"".join(read_member(path, short))


class BundleRemote:
    """The files of an archive, and those that wait to be written with the next reference."""

    def __init__(
        self, address: str, path: Path, members: dict[str, Member], seen: Identity | None
    ) -> None:
        self._address = address
        self._path = path
        self._members = members
        self._seen = seen
        self._writer: Writer | None = None

    def has(self, sha256: str, size: int) -> bool:
        """Say whether a file of that size is there."""
        member = self._members.get(layout.blob(sha256))
        return member is not None and member.size == size

    def read(self, sha256: str) -> Iterable[bytes]:
        """Yield a file's bytes."""
        return self._read(layout.blob(sha256), f"the file {sha256}")

    def write(self, sha256: str, size: int, chunks: Iterable[bytes]) -> None:
        """Append a file; raises RemoteError when the bundle has one of another size there."""
        place = layout.blob(sha256)
        if place in self._members:
            raise RemoteError(
                f"{self._path} is damaged: {place} has not {size:,} bytes",
                remote=self._address,
                hint="push into a new bundle",
            )
        with _told(self._address):
            self._open_writer().add(place, size, chunks)

    def read_manifest(self, digest: str) -> Iterable[bytes]:
        """Yield a manifest's bytes."""
        return self._read(layout.manifest(digest), f"the manifest {digest}")

    def write_manifest(self, digest: str, data: bytes) -> None:
        """Append a manifest, unless it is there."""
        place = layout.manifest(digest)
        if place not in self._members:
            with _told(self._address):
                self._open_writer().add(place, len(data), (data,))

    def read_signatures(self, digest: str) -> Iterable[Iterable[bytes]]:
        """Yield a manifest's signatures."""
        start = f"{layout.signatures(digest)}/"
        for name in sorted(self._members):
            if name.startswith(start):
                yield self._read(name, "a signature")

    def write_signature(self, digest: str, data: bytes) -> None:
        """Append a signature: to a manifest that is there already at once, else with that."""
        place = layout.signature(digest, data)
        if place in self._members:
            return
        if layout.manifest(digest) in self._members:
            self._commit(place, data)
        else:
            with _told(self._address):
                self._open_writer().add(place, len(data), (data,))

    def names(self) -> Sequence[str]:
        """Return the names of which there are references."""
        places = (name.split("/") for name in self._members)
        return sorted({parts[1] for parts in places if parts[0] == layout.REFS and parts[1:]})

    def numbers(self, name: str) -> Sequence[int]:
        """Return the numbers that have a reference."""
        start = f"{layout.versions(name)}/"
        return layout.numbers(m.removeprefix(start) for m in self._members if m.startswith(start))

    def resolve(self, name: str, number: int) -> str | None:
        """Return the digest in a reference."""
        place = layout.version(name, number)
        if (member := self._members.get(place)) is None:
            return None
        with _told(self._address):
            data = _small(self._path, member)
        return layout.read_line(data, f"{self._address}: {place}", name, number).digest

    def publish(self, name: str, number: int, digest: str) -> bool:
        """Append a reference, and put the whole bundle in its place."""
        place = layout.version(name, number)
        if place in self._members:
            return False
        self._commit(place, layout.line(name, number, digest))
        return True

    def read_alias(self, name: str, alias: str) -> int | None:
        """Return the number in an alias."""
        place = layout.alias(name, alias)
        if (member := self._members.get(place)) is None:
            return None
        with _told(self._address):
            data = _small(self._path, member)
        return layout.read_line(data, f"{self._address}: {place}", name).number

    def write_alias(self, name: str, alias: str, number: int, expected: int | None) -> bool:
        """Write an alias in the place of the old one."""
        if self.read_alias(name, alias) != expected:
            return False
        digest = self.resolve(name, number)
        if digest is None:
            raise NotFoundError(f"{self._address} has no {name}@{number}")
        self._commit(layout.alias(name, alias), layout.line(name, number, digest))
        return True

    def close(self) -> None:
        """Drop what no reference was written for."""
        if self._writer is not None:
            self._writer.drop()

    def _read(self, place: str, what: str) -> Iterator[bytes]:
        if (member := self._members.get(place)) is None:
            raise NotFoundError(f"{self._address} lacks {what}")
        with _told(self._address):
            yield from read_member(self._path, member)

    def _open_writer(self, without: str = "") -> Writer:
        """Return the archive to come, which begins with what is in the present one."""
        if self._writer is None:
            self._writer = Writer(self._path)
            if _identity(self._path) != self._seen:
                raise _changed(self._address)
            if not self._members:
                self._writer.add(layout.FORMAT, len(layout.MARK), (layout.MARK,))
            for name, member in self._members.items():
                if name != without:
                    self._writer.copy(self._path, name, member)
        return self._writer

    def _commit(self, place: str, data: bytes) -> None:
        with _told(self._address):
            writer = self._open_writer(without=place)
            writer.add(place, len(data), (data,))
            writer.finish()
        self._members, self._writer = writer.members, None
        self._seen = _identity(self._path)


def _identity(path: Path) -> Identity | None:
    """Return the state of a file; None where there is no file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _changed(address: str) -> RemoteError:
    return RemoteError(
        f"{address} is written by somebody else too", remote=address, hint="push again"
    )
