"""my-plugin: a place to push versions to and pull them from: ``my-remote:FOLDER``, loose files.

The core hashes all that it sends and all that it is given; a remote stores and finds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from adapterhub_lite.errors import NotFoundError, RemoteError
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ConformanceCase, RemoteSpec

if TYPE_CHECKING:
    from adapterhub_lite.remotes.contract import Remote

PIECE = 2**20


@hookimpl
def adapterhub_remotes() -> Iterable[RemoteSpec]:
    """Offer the place; it is chosen by what stands before an address's colon."""
    yield RemoteSpec(
        name="my-remote",
        summary="A folder of loose files.",
        implementation="my_plugin:open_remote",
        schemes=("my-remote",),
    )


@hookimpl
def adapterhub_conformance() -> Iterable[ConformanceCase]:
    """Say at which address the checks can try it."""
    address = "my-remote:{folder}"
    yield ConformanceCase(kind="remote", name="my-remote", params={"address": address})


def open_remote(address: str, *, create: bool) -> Remote:
    """Open the folder; raises RemoteError when it is not there, and nothing is to be written."""
    folder = Path(address.partition(":")[2])
    if create:
        folder.mkdir(parents=True, exist_ok=True)
    if not folder.is_dir():
        raise RemoteError(f"there is no folder {folder}", remote=address)
    return MyRemote(folder)


class MyRemote:
    """Keeps ``blobs/HASH``, ``manifests/HASH``, ``names/NAME/NUMBER`` and ``names/NAME/@ALIAS``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, sha256: str, size: int) -> bool:
        """Say whether a file of that size is there."""
        file = self._folder / "blobs" / sha256
        return file.is_file() and file.stat().st_size == size

    def read(self, sha256: str) -> Iterable[bytes]:
        """Yield a file's bytes; raises NotFoundError."""
        return _pieces(self._folder / "blobs" / sha256)

    def write(self, sha256: str, size: int, chunks: Iterable[bytes]) -> None:
        """Store a file: beside its place first, so that nothing half-written is ever seen."""
        _store(self._folder / "blobs" / sha256, chunks)

    def read_manifest(self, digest: str) -> Iterable[bytes]:
        """Yield a manifest's bytes; raises NotFoundError."""
        return _pieces(self._folder / "manifests" / digest.partition(":")[2])

    def write_manifest(self, digest: str, data: bytes) -> None:
        """Store a manifest."""
        _store(self._folder / "manifests" / digest.partition(":")[2], [data])

    def names(self) -> Sequence[str]:
        """Return the names of which there are versions."""
        return sorted(folder.name for folder in (self._folder / "names").glob("*"))

    def numbers(self, name: str) -> Sequence[int]:
        """Return the numbers that are taken."""
        places = (self._folder / "names" / name).glob("[0-9]*")
        return sorted(int(place.name) for place in places)

    def resolve(self, name: str, number: int) -> str | None:
        """Return the digest of the manifest of a version."""
        return _text(self._folder / "names" / name / str(number))

    def publish(self, name: str, number: int, digest: str) -> bool:
        """Refer to a manifest as that version; False where the number is taken already."""
        place = self._folder / "names" / name / str(number)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            with place.open("x", encoding="ascii") as stream:  # of two at once one is refused
                stream.write(digest)
        except FileExistsError:
            return False
        return True

    def read_alias(self, name: str, alias: str) -> int | None:
        """Return the number that an alias points to."""
        text = _text(self._folder / "names" / name / f"@{alias}")
        return None if text is None else int(text)

    def write_alias(self, name: str, alias: str, number: int, expected: int | None) -> bool:
        """Point an alias at a version, unless somebody else moved it."""
        if self.read_alias(name, alias) != expected:
            return False
        _store(self._folder / "names" / name / f"@{alias}", [str(number).encode()])
        return True

    def close(self) -> None:
        """Hold nothing."""


def _pieces(file: Path) -> Iterable[bytes]:
    try:
        with file.open("rb") as stream:
            while piece := stream.read(PIECE):
                yield piece
    except FileNotFoundError:
        raise NotFoundError(f"{file.name} is not there") from None


def _store(file: Path, chunks: Iterable[bytes]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=file.parent.parent, delete=False) as stream:
        try:
            for chunk in chunks:
                stream.write(chunk)
            stream.close()
            os.replace(stream.name, file)
        except BaseException:
            Path(stream.name).unlink(missing_ok=True)
            raise


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii")
    except FileNotFoundError:
        return None
