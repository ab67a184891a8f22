"""Checking every byte: no stamp is trusted, and what nothing refers to is read as well."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from adapterhub_lite_registry import codec
from adapterhub_lite_registry.errors import IntegrityError
from adapterhub_lite_registry.io import FileIO, read_chunks, read_small
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.refs import RefStore, version_number
from adapterhub_lite_registry.versions import VersionReader

Progress = Callable[[int, int], None]
"""Called with the bytes read so far, and with how many there are."""

_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Problem:
    """One damaged or missing thing: its path in the registry, and the versions that it hits."""

    path: str
    message: str
    versions: tuple[str, ...] = ()

    def __str__(self) -> str:
        hit = f" (hits {', '.join(self.versions)})" if self.versions else ""
        return f"{self.path}: {self.message}{hit}"


class Verifier:
    """Walks references, then manifests, then blobs, and collects what is wrong."""

    def __init__(
        self,
        io: FileIO,
        layout: Layout,
        refs: RefStore,
        reader: VersionReader,
        progress: Progress | None,
    ) -> None:
        self._io = io
        self._layout = layout
        self._refs = refs
        self._reader = reader
        self._progress = progress or (lambda done, total: None)
        self._problems: list[Problem] = []
        self._users: dict[str, list[str]] = {}
        self._manifests: set[str] = set()

    def everything(self) -> list[Problem]:
        """Check all that the registry holds."""
        for name in self._refs.names():
            self._check_names_files(name)
            for number in self._refs.numbers(name):
                self._check_version(name, number)
            for alias in self._refs.alias_names(name):
                self._check_alias(name, alias)
        self._check_loose_manifests()
        stored = dict(self._stored(self._layout.blobs))
        self._check_blobs(stored.keys() | self._users.keys())
        return self._problems

    def version(self, name: str, number: int) -> list[Problem]:
        """Check one version."""
        self._check_version(name, number)
        self._check_blobs(self._users.keys())
        return self._problems

    def _report(self, path: str, message: str, versions: Iterable[str] = ()) -> None:
        self._problems.append(Problem(self._layout.relative(path), message, tuple(versions)))

    def _check_names_files(self, name: str) -> None:
        folder = self._layout.versions(name)
        try:
            entries = self._io.listdir(folder)
        except FileNotFoundError:
            return
        for entry in sorted(entries):
            if version_number(entry) is None:
                self._report(f"{folder}/{entry}", "not a version reference")

    def _check_version(self, name: str, number: int) -> None:
        path, spelled = self._layout.version(name, number), f"{name}@{number}"
        try:
            ref = self._refs.read(name, number)
            if ref.removed:
                return
            path = self._layout.manifest(ref.digest)
            self._manifests.add(ref.digest)
            manifest = self._reader.load(ref).manifest
        except IntegrityError as error:
            self._report(path, error.message, [spelled])
        except OSError as error:
            self._report(path, _reason(error), [spelled])
        else:
            for entry in manifest.files:
                users = self._users.setdefault(entry.sha256, [])
                if spelled not in users[-1:]:
                    users.append(spelled)

    def _check_alias(self, name: str, alias: str) -> None:
        try:
            self._refs.read_alias(name, alias)
        except IntegrityError as error:
            self._report(self._layout.alias(name, alias), error.message)
        except OSError as error:
            self._report(self._layout.alias(name, alias), _reason(error))

    def _check_loose_manifests(self) -> None:
        for sha256, path in self._stored(self._layout.manifests):
            digest = f"sha256:{sha256}"
            if digest in self._manifests:
                continue
            try:
                codec.decode(read_small(self._io, path, codec.MAX_BYTES), digest, "no version's")
            except IntegrityError as error:
                self._report(path, error.message)
            except OSError as error:
                self._report(path, _reason(error))

    def _check_blobs(self, wanted: Iterable[str]) -> None:
        blobs = sorted(wanted)
        total, done = sum(self._size(sha256) for sha256 in blobs), 0
        for sha256 in blobs:
            hasher = hashlib.sha256()
            path = self._layout.blob(sha256)
            try:
                for chunk in read_chunks(self._io, path):
                    hasher.update(chunk)
                    done += len(chunk)
                    self._progress(done, total)
            except FileNotFoundError:
                self._report(path, "the file is missing", self._users.get(sha256, ()))
            except OSError as error:
                self._report(path, _reason(error), self._users.get(sha256, ()))
            else:
                if hasher.hexdigest() != sha256:
                    message = "the bytes are not those that were published"
                    self._report(path, message, self._users.get(sha256, ()))

    def _size(self, sha256: str) -> int:
        try:
            return self._io.stat(self._layout.blob(sha256)).st_size
        except OSError:
            return 0

    def _stored(self, root: str) -> Iterator[tuple[str, str]]:
        """Yield hex digest and path of all that lies in the shards; report what should not."""
        for shard in sorted(self._io.listdir(root)):
            for entry in sorted(self._io.listdir(f"{root}/{shard}")):
                path = f"{root}/{shard}/{entry}"
                if _HEX.fullmatch(entry) and entry.startswith(shard):
                    yield entry, path
                else:
                    self._report(path, "does not belong here")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
