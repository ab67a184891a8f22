"""Object stores and distant folders, through fsspec.

A file is written beside its place and moved there whole. A reference is created where nothing may
lie: the store sees to that where its library can ask it to, elsewhere it is looked for first.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import PurePosixPath
from secrets import token_hex
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import fsspec

from adapterhub_lite.errors import AdapterHubError, NotFoundError, RemoteError
from adapterhub_lite.plugins import one_line
from adapterhub_lite_remotes import layout

P = ParamSpec("P")
R = TypeVar("R")

FLAT: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "oss", "memory"})
"""Stores without folders: asked for one, some of them would make a bucket of a misspelt name."""
ABANDONED_AFTER: Final = timedelta(days=1)
"""A file in progress that nobody has written to for so long is a killed push's."""


def open_store(address: str, *, create: bool) -> "StoreRemote":
    """Open a store; raises RemoteError when it cannot be reached, or nothing was pushed there."""
    if "::" in address:
        raise RemoteError(f"{address} chains several places; name one", remote=address)
    try:
        files, root = fsspec.core.url_to_fs(address)
    except Exception as error:
        raise _refused(address, error) from error
    flat = address.partition(":")[0].lower() in FLAT
    store = StoreRemote(files, root.rstrip("/"), address, flat=flat)
    store.check_format(create=create)
    return store


def _told(
    method: Callable[Concatenate["StoreRemote", P], R],
) -> Callable[Concatenate["StoreRemote", P], R]:
    """Turn what a library raises into a RemoteError: each has exceptions of its own."""

    @wraps(method)
    def call(self: "StoreRemote", /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except AdapterHubError:
            raise
        except Exception as error:
            raise _refused(self.address, error) from error

    return call


def _refused(address: str, error: Exception) -> RemoteError:
    return RemoteError(f"{address} refuses: {one_line(error)}", remote=address)


class StoreRemote:
    """A folder of a file system that fsspec knows."""

    def __init__(self, files: Any, root: str, address: str, *, flat: bool) -> None:
        self.address = address
        self._files = files
        self._root = root
        self._flat = flat

    @_told
    def check_format(self, *, create: bool) -> None:
        """Look whether the place is a remote, and make it one; raises RemoteError."""
        place = self._place(layout.FORMAT)
        if create:
            self._create(place, layout.MARK)
            self._sweep()
        try:
            mark = self._small(place)
        except FileNotFoundError:
            raise RemoteError(
                f"nothing was pushed to {self.address} yet", remote=self.address
            ) from None
        if mark != layout.MARK:
            raise RemoteError(
                f"{self.address} is of a newer format, or damaged",
                remote=self.address,
                hint="upgrade adapterhub-lite",
            )

    @_told
    def has(self, sha256: str, size: int) -> bool:
        """Say whether a file of that size is there."""
        try:
            return bool(self._files.info(self._place(layout.blob(sha256)))["size"] == size)
        except FileNotFoundError:
            return False

    def read(self, sha256: str) -> Iterable[bytes]:
        """Yield a file's bytes."""
        return self._chunks(layout.blob(sha256), f"the file {sha256}")

    @_told
    def write(self, sha256: str, size: int, chunks: Iterable[bytes]) -> None:
        """Store a file."""
        self._write(layout.blob(sha256), chunks)

    def read_manifest(self, digest: str) -> Iterable[bytes]:
        """Yield a manifest's bytes."""
        return self._chunks(layout.manifest(digest), f"the manifest {digest}")

    @_told
    def write_manifest(self, digest: str, data: bytes) -> None:
        """Store a manifest."""
        place = self._place(layout.manifest(digest))
        self._make_parent(place)
        self._files.pipe_file(place, data)

    @_told
    def read_signatures(self, digest: str) -> Iterable[Iterable[bytes]]:
        """Return a manifest's signatures, each in chunks."""
        folder = layout.signatures(digest)
        return [
            self._chunks(f"{folder}/{name}", "a signature")
            for name in sorted(self._listing(folder))
        ]

    @_told
    def write_signature(self, digest: str, data: bytes) -> None:
        """Store a signature, unless it is there."""
        place = layout.signature(digest, data)
        if not self._files.exists(self._place(place)):
            self._write(place, (data,))

    @_told
    def names(self) -> Sequence[str]:
        """Return the names that have a folder."""
        return self._listing(layout.REFS)

    @_told
    def numbers(self, name: str) -> Sequence[int]:
        """Return the numbers that have a reference."""
        return layout.numbers(self._listing(layout.versions(name)))

    @_told
    def resolve(self, name: str, number: int) -> str | None:
        """Return the digest in a reference."""
        place = layout.version(name, number)
        try:
            data = self._small(self._place(place))
        except FileNotFoundError:
            return None
        found = layout.read_line(data, f"{self.address}/{place}", name, number)
        return None if found.removed else found.digest

    @_told
    def publish(self, name: str, number: int, digest: str) -> bool:
        """Write a reference where there is none."""
        data = layout.line(name, number, digest)
        return self._create(self._place(layout.version(name, number)), data)

    @_told
    def read_alias(self, name: str, alias: str) -> int | None:
        """Return the number in an alias."""
        place = layout.alias(name, alias)
        try:
            data = self._small(self._place(place))
        except FileNotFoundError:
            return None
        return layout.read_line(data, f"{self.address}/{place}", name).number

    @_told
    def write_alias(self, name: str, alias: str, number: int, expected: int | None) -> bool:
        """Write an alias after a look at where it points; most stores can do no more."""
        if self.read_alias(name, alias) != expected:
            return False
        digest = self.resolve(name, number)
        if digest is None:
            raise NotFoundError(f"{self.address} has no {name}@{number}")
        place = self._place(layout.alias(name, alias))
        self._make_parent(place)
        self._files.pipe_file(place, layout.line(name, number, digest))
        return True

    def close(self) -> None:
        """Hold nothing: fsspec keeps connections itself."""

    def _place(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _make_parent(self, place: str) -> None:
        if not self._flat:
            self._files.makedirs(str(PurePosixPath(place).parent), exist_ok=True)

    def _write(self, place: str, chunks: Iterable[bytes]) -> None:
        """Write a file beside its place first; one that breaks off leaves nothing."""
        beside = self._place(f"{layout.TMP}/{token_hex(12)}")
        self._make_parent(beside)
        try:
            with self._files.open(beside, "wb") as stream:
                for chunk in chunks:
                    stream.write(chunk)
            target = self._place(place)
            self._make_parent(target)
            self._files.mv(beside, target)
        except BaseException:
            self._discard(beside)
            raise

    def _create(self, place: str, data: bytes) -> bool:
        """Write a small file where there is none; False where there is one."""
        self._files.invalidate_cache()
        self._make_parent(place)
        try:
            self._files.pipe_file(place, data, mode="create")
        except FileExistsError:
            return False
        return True

    def _small(self, place: str) -> bytes:
        """Return a short file; of a longer one enough to be refused."""
        with self._files.open(place, "rb") as stream:
            return bytes(stream.read(layout.LONGEST_REF + 1))

    def _chunks(self, path: str, what: str) -> Iterator[bytes]:
        try:
            with self._files.open(self._place(path), "rb") as stream:
                while chunk := stream.read(layout.CHUNK):
                    yield chunk
        except FileNotFoundError:
            raise NotFoundError(f"{self.address} lacks {what}") from None
        except Exception as error:
            raise _refused(self.address, error) from error

    def _listing(self, folder: str) -> list[str]:
        self._files.invalidate_cache()
        try:
            entries = self._files.ls(self._place(folder), detail=False)
        except FileNotFoundError:
            return []
        return [PurePosixPath(entry).name for entry in entries]

    def _sweep(self) -> None:
        """Remove the files in progress that killed pushes left."""
        oldest = datetime.now(UTC) - ABANDONED_AFTER
        for name in self._listing(layout.TMP):
            place = self._place(f"{layout.TMP}/{name}")
            # somebody else may be faster, and some libraries tell no times
            with suppress(Exception):
                if self._files.modified(place) < oldest:
                    self._files.rm(place)

    def _discard(self, place: str) -> None:
        try:
            self._files.rm(place)
        except Exception:
            return  # the error that led here is the one to report
