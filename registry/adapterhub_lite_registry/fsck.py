"""Checking what is stored: references, manifests, files, aliases, their log, and the index.

The structure alone is checked without reading files of versions: they have to be there and of the
right size. Reading hashes them, all or a share, also those that nothing refers to; no stamp is
trusted then.
"""

import hashlib
import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from adapterhub_lite_registry import codec
from adapterhub_lite_registry.aliases import AliasStore
from adapterhub_lite_registry.config import ConfigStore
from adapterhub_lite_registry.errors import IntegrityError, NotFoundError
from adapterhub_lite_registry.evaluations import EvaluationStore
from adapterhub_lite_registry.io import FileIO, read_chunks, read_small
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.problems import Kind, Problem
from adapterhub_lite_registry.quarantine import Quarantine
from adapterhub_lite_registry.refs import RefStore, version_number
from adapterhub_lite_registry.signatures import Signatures
from adapterhub_lite_registry.versions import VersionReader
from adapterhub_lite_registry.walk import Tally, stored, tally

Progress = Callable[[int, int], None]
"""Called with the bytes read so far, and with how many there are."""

Indexed = Mapping[tuple[str, int], str]
"""What the index holds: name and number of a version → its digest."""


@dataclass(frozen=True)
class Reading:
    """Which share of the files is read and hashed; the same seed chooses the same ones."""

    share: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class FsckReport:
    """What is wrong, and what was looked at; ``read`` are the files that were hashed.

    ``temporary`` are writes in progress or left by killed ones, ``unreferenced`` the files that
    no version needs (publishing, or removed), ``quarantined`` those on their way out.
    """

    problems: tuple[Problem, ...]
    versions: int
    files: Tally
    read: Tally
    reading: Reading | None
    temporary: Tally
    unreferenced: Tally
    quarantined: Tally


class Checker:
    """Walks references, then manifests, then blobs, and collects what is wrong."""

    def __init__(
        self,
        io: FileIO,
        layout: Layout,
        refs: RefStore,
        reader: VersionReader,
        progress: Progress | None = None,
    ) -> None:
        self._io = io
        self._layout = layout
        self._refs = refs
        self._reader = reader
        self._evaluations = EvaluationStore(io, layout)
        self._signatures = Signatures(io, layout)
        self._progress = progress or (lambda done, total: None)
        self._problems: list[Problem] = []
        self._live: dict[tuple[str, int], str] = {}
        self._users: dict[str, list[str]] = {}
        self._sizes: dict[str, int] = {}
        self._manifests: set[str] = set()
        self._read = Tally()

    def everything(self, reading: Reading | None, indexed: Callable[[], Indexed]) -> FsckReport:
        """Check all that the registry holds."""
        for name in self._refs.names():
            self._check_names_files(name)
            for number in self._refs.numbers(name):
                self._check_version(name, number)
            for alias in self._refs.alias_names(name):
                self._check_alias(name, alias)
        self._check_log()
        self._check_loose_manifests()
        self._check_config()
        self._check_index(indexed())
        blobs = self._stored(self._layout.blobs)
        self._check_blobs(blobs, reading)
        return self._report_on(blobs, reading)

    def version(self, name: str, number: int, reading: Reading | None) -> FsckReport:
        """Check one version."""
        self._check_version(name, number)
        self._check_blobs(dict(self._sizes), reading)
        return self._report_on(dict(self._sizes), reading)

    def _report_on(self, blobs: Mapping[str, int], reading: Reading | None) -> FsckReport:
        loose = [size for sha256, size in blobs.items() if sha256 not in self._users]
        return FsckReport(
            problems=tuple(problem for problem in self._problems if self._still_counts(problem)),
            versions=len(self._live),
            files=Tally(len(blobs), sum(blobs.values())),
            read=self._read,
            reading=reading,
            temporary=tally(self._io, self._layout.tmp),
            unreferenced=Tally(len(loose), sum(loose)),
            quarantined=Quarantine(self._io, self._layout).tally(),
        )

    def _still_counts(self, problem: Problem) -> bool:
        """Leave out what was taken away because its versions were removed while we looked."""
        return not problem.versions or not all(map(self._is_removed, problem.versions))

    def _is_removed(self, ref: str) -> bool:
        name, _, number = ref.partition("@")
        try:
            return self._refs.read(name, int(number)).removed
        except (IntegrityError, NotFoundError, OSError):
            return False

    def _report(
        self,
        path: str,
        message: str,
        versions: Iterable[str] = (),
        kind: Kind = "other",
        sha256: str | None = None,
    ) -> None:
        place = self._layout.relative(path)
        self._problems.append(Problem(place, message, tuple(versions), kind, sha256))

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
        kind: Kind = "reference"
        sha256 = None
        try:
            ref = self._refs.read(name, number)
            if ref.removed:
                return
            path, kind = self._layout.manifest(ref.digest), "manifest"
            sha256 = ref.digest.removeprefix("sha256:")
            self._manifests.add(sha256)
            version = self._reader.load(ref)
        except IntegrityError as error:
            self._report(path, error.message, [spelled], kind, sha256)
        except OSError as error:
            self._report(path, _reason(error), [spelled], kind, sha256)
        else:
            self._live[name, number] = ref.digest
            self._problems += self._evaluations.of(version)[1]
            self._problems += self._signatures.of(version.digest)[1]
            for entry in version.manifest.files:
                users = self._users.setdefault(entry.sha256, [])
                if spelled not in users[-1:]:
                    users.append(spelled)
                self._sizes[entry.sha256] = entry.size

    def _check_alias(self, name: str, alias: str) -> None:
        path = self._layout.alias(name, alias)
        try:
            self._refs.read_alias(name, alias)
        except (IntegrityError, NotFoundError) as error:
            if alias in self._refs.alias_names(name):  # else it was removed while we looked
                self._report(path, error.message, kind="alias")
        except OSError as error:
            self._report(path, _reason(error), kind="alias")

    def _check_log(self) -> None:
        """Every alias has to point to where a logged move took it; the log is written first."""
        pointing = {name: self._refs.aliases(name) for name in self._refs.names()}
        log = AliasStore(self._io, self._layout, self._refs).logged()
        logged = {(move.name, move.alias, move.after) for move in log}
        for name, aliases in pointing.items():
            for alias, number in aliases.items():
                if (name, alias, number) not in logged:
                    path = self._layout.alias(name, alias)
                    self._report(path, f"no logged move took it to version {number}", kind="alias")

    def _check_loose_manifests(self) -> None:
        for sha256 in self._stored(self._layout.manifests):
            if sha256 in self._manifests:
                continue
            path = self._layout.manifest(sha256)
            try:
                data = read_small(self._io, path, codec.MAX_BYTES)
                codec.decode(data, f"sha256:{sha256}", "no version's")
            except FileNotFoundError:
                continue  # collected while we looked
            except IntegrityError as error:
                self._report(path, error.message, (), "manifest", sha256)
            except OSError as error:
                self._report(path, _reason(error), (), "manifest", sha256)

    def _check_config(self) -> None:
        try:
            ConfigStore(self._io, self._layout).read()
        except IntegrityError as error:
            self._report(f"{self._layout.home}/config.json", error.message)

    def _check_index(self, indexed: Indexed) -> None:
        """Compare with the index, which has just caught up with the references."""
        for (name, number), digest in self._live.items():
            ref = f"{name}@{number}"
            if indexed.get((name, number)) != digest and not self._is_removed(ref):
                self._report(self._layout.index, f"it does not know {ref}", kind="index")
        for name, number in sorted(indexed.keys() - self._live.keys()):
            if number not in self._refs.numbers(name):
                message = f"it lists {name}@{number}, which is not here"
                self._report(self._layout.index, message, kind="index")

    def _stored(self, root: str) -> dict[str, int]:
        """Return the files that lie in the shards, hex digest → size; report what should not."""
        found = {}
        for entry, path, belongs in stored(self._io, root):
            if not belongs:
                self._report(path, "does not belong here")
                continue
            try:
                found[entry] = self._io.stat(path).st_size
            except OSError:
                continue  # collected while we looked; a version that misses it is told of
        return found

    def _check_blobs(self, blobs: Mapping[str, int], reading: Reading | None) -> None:
        chosen = _choose(sorted(blobs.keys() | self._sizes.keys()), reading)
        total, done = sum(blobs.get(sha256, 0) for sha256 in chosen), 0
        for sha256 in chosen:
            done = self._hash_blob(sha256, done, total)
        for sha256 in sorted(self._sizes.keys() - set(chosen)):
            self._measure_blob(sha256)

    def _measure_blob(self, sha256: str) -> None:
        path, size = self._layout.blob(sha256), self._sizes[sha256]
        try:
            found = self._io.stat(path).st_size
        except FileNotFoundError:
            self._report_blob(sha256, "the file is missing")
        except OSError as error:
            self._report_blob(sha256, _reason(error))
        else:
            if found != size:
                self._report_blob(sha256, f"the file has {found:,} bytes, not {size:,}")

    def _hash_blob(self, sha256: str, done: int, total: int) -> int:
        """Hash one file; return how many bytes were read by now."""
        hasher, start = hashlib.sha256(), done
        try:
            for chunk in read_chunks(self._io, self._layout.blob(sha256)):
                hasher.update(chunk)
                done += len(chunk)
                self._progress(done, total)
        except FileNotFoundError:
            if sha256 in self._users:  # else it was collected while we looked
                self._report_blob(sha256, "the file is missing")
        except OSError as error:
            self._report_blob(sha256, _reason(error))
        else:
            self._read = self._read.plus(done - start)
            if hasher.hexdigest() != sha256:
                self._report_blob(sha256, "the bytes are not those that were published")
        return done

    def _report_blob(self, sha256: str, message: str) -> None:
        users = self._users.get(sha256, ())
        self._report(self._layout.blob(sha256), message, users, "blob", sha256)


def _choose(blobs: list[str], reading: Reading | None) -> list[str]:
    """Return the share of the files that is to be read, at least one of those that there are."""
    if reading is None or reading.share >= 1:
        return [] if reading is None else blobs
    count = min(len(blobs), math.ceil(reading.share * len(blobs)))
    # The seed is for repeating a check, and nobody's secret.
    return sorted(random.Random(reading.seed).sample(blobs, count))  # noqa: S311


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
