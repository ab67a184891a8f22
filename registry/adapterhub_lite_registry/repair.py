"""Mending what is damaged: bytes come back by their digest, or the loss is marked; nothing else.

References come from their aliases' copies or from a source, aliases from their log, manifests and
files from quarantine or a source. Whatever came is hashed before it takes its place. What cannot be
had leaves its damaged bytes in quarantine and a mark with the versions that it hits, and those stay
listed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from adapterhub_lite_registry import codec
from adapterhub_lite_registry.aliases import AliasStore
from adapterhub_lite_registry.blobs import BlobStore
from adapterhub_lite_registry.errors import AdapterHubError, IntegrityError
from adapterhub_lite_registry.exchange import parse_manifest
from adapterhub_lite_registry.fsck import FsckReport
from adapterhub_lite_registry.io import FileIO, at_most, exists, parent, read_chunks, read_small
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.locks import PublishLock
from adapterhub_lite_registry.manifest import now
from adapterhub_lite_registry.marks import Mark, Marks
from adapterhub_lite_registry.names import is_digest
from adapterhub_lite_registry.problems import Kind, Problem
from adapterhub_lite_registry.publish import Publisher
from adapterhub_lite_registry.quarantine import Quarantine
from adapterhub_lite_registry.refs import Ref, RefStore, parse_ref
from adapterhub_lite_registry.stamps import hash_file
from adapterhub_lite_registry.temporary import Workspace
from adapterhub_lite_registry.versions import VersionReader

_LIMIT = 256
_WELL = "it reads well now: the disk refused, or somebody mended it"
_MISSING = "missing, and nothing has it: marked"
_MARKED = "damaged, and nothing has it: marked, and the bytes are in quarantine"


class ByteSource(Protocol):
    """A place that may have what is damaged here; it is believed nothing.

    Every method may raise an AdapterHubError; the next place is asked then.
    """

    def read(self, sha256: str) -> Iterable[bytes]:
        """Yield a file's bytes."""

    def read_manifest(self, digest: str) -> Iterable[bytes]:
        """Yield a manifest's bytes."""

    def resolve(self, name: str, number: int) -> str | None:
        """Return the digest of the manifest of that version."""


@dataclass(frozen=True)
class Outcome:
    """What became of one problem: mended, from where, or not and why."""

    problem: Problem
    mended: bool
    how: str


class Repairer:
    """Mends what a check found."""

    def __init__(
        self,
        io: FileIO,
        layout: Layout,
        refs: RefStore,
        reader: VersionReader,
        sources: Sequence[tuple[str, ByteSource]],
    ) -> None:
        self._io = io
        self._layout = layout
        self._refs = refs
        self._reader = reader
        self._sources = sources
        self._quarantine = Quarantine(io, layout)
        self._marks = Marks(io, layout)
        self._publisher = Publisher(io, layout, refs)
        self._outcomes: dict[str, Outcome] = {}

    def run(self, check: Callable[[], FsckReport]) -> list[Outcome]:
        """Mend from the outside in: what a reference or a manifest names shows only then."""
        steps: dict[Kind, Callable[[Problem], tuple[bool, str]]] = {
            "reference": self._mend_reference,
            "manifest": self._mend_manifest,
            "blob": self._mend_blob,
            "alias": self._mend_alias,
            "index": lambda problem: (True, "the index is built anew"),
            "other": lambda problem: (False, "nothing mends this: see its message"),
        }
        problems = check().problems
        for kind, mend in steps.items():
            mended = False
            # what is no version's comes first: a version whose digest is damaged may miss just that
            for problem in sorted(problems, key=lambda problem: bool(problem.versions)):
                if problem.kind == kind and problem.path not in self._outcomes:
                    outcome = Outcome(problem, *mend(problem))
                    self._outcomes[problem.path] = outcome
                    mended = mended or outcome.mended
            if mended and kind in ("reference", "manifest"):
                problems = check().problems
        self._marks.clear()
        return list(self._outcomes.values())

    def _mend_reference(self, problem: Problem) -> tuple[bool, str]:
        name, _, number = problem.versions[0].partition("@") if problem.versions else ("", "", "")
        if not name:
            return False, "nothing mends this: it is no version's"
        for ref, origin in self._references(name, int(number)):
            self._point(ref)
            return True, f"mended from {origin}"
        return False, "damaged, and neither an alias nor a remote has it; it stays as it is"

    def _point(self, ref: Ref) -> None:
        path = self._layout.version(ref.name, ref.number)
        with Workspace(self._io, self._layout.tmp) as work:
            self._io.rename(work.write(ref.line(), mode=0o444), path)
        self._io.fsync_dir(parent(path))

    def _references(self, name: str, number: int) -> Iterator[tuple[Ref, str]]:
        """Yield what the reference may have been, and by whose word; it is no other version's."""
        taken = {ref.digest for ref in self._live(name) if ref.number != number}
        for ref, origin in self._told(name, number):
            if ref.digest not in taken:
                yield ref, origin

    def _told(self, name: str, number: int) -> Iterator[tuple[Ref, str]]:
        """Yield what aliases say that were moved there, and sources of what is or was here.

        A damaged alias may name another number, and a source have another version of this one.
        """
        logged = AliasStore(self._io, self._layout, self._refs).logged()
        moved = {move.alias for move in logged if (move.name, move.after) == (name, number)}
        for alias in sorted(moved.intersection(self._refs.alias_names(name))):
            path = self._layout.alias(name, alias)
            try:
                ref = parse_ref(read_small(self._io, path, _LIMIT), path)
            except (IntegrityError, FileNotFoundError):
                continue
            if (ref.name, ref.number, ref.removed) == (name, number, False):
                yield ref, f"the alias {name}@{alias}"
        for origin, source in self._sources:
            try:
                digest = source.resolve(name, number)
            except AdapterHubError:
                continue
            if digest is not None and is_digest(digest) and self._was_here(digest):
                yield Ref(name, number, digest), origin

    def _was_here(self, digest: str) -> bool:
        """Say whether a manifest lies here, damaged or not, or was put away as damaged."""
        spoilt = f"damaged-manifest-{digest.removeprefix('sha256:')}"
        put_away = (name for name, _ in self._quarantine.files())
        return exists(self._io, self._layout.manifest(digest)) or spoilt in put_away

    def _mend_manifest(self, problem: Problem) -> tuple[bool, str]:
        if problem.sha256 is None:
            return False, "nothing mends this: see its message"
        digest = f"sha256:{problem.sha256}"
        if self._reads_well(partial(self._reader.manifest, digest, digest)):
            return True, _WELL
        if origin := self._restore_manifest(digest):
            return True, f"mended from {origin}"
        if origins := self._mend_digests(problem):
            return True, f"the reference was damaged: mended from {', '.join(origins)}"
        return False, self._give_up(problem, "manifest", self._layout.manifest(digest))

    def _restore_manifest(self, digest: str) -> str | None:
        """Get a manifest from wherever it is, and return from where."""
        sha256 = digest.removeprefix("sha256:")
        for origin, chunks in self._offers(
            "manifest", sha256, lambda source: source.read_manifest(digest)
        ):
            try:
                data = b"".join(at_most(codec.MAX_BYTES, chunks()))
                parse_manifest(data, digest, origin)
                self._publisher.store_manifest(data)
            except (AdapterHubError, FileNotFoundError):
                continue
            return origin
        return None

    def _mend_digests(self, problem: Problem) -> list[str]:
        """Point versions whose digest nobody has to where an alias or a source says; return who.

        A digest that was damaged may look like one.
        """
        origins = []
        for spelled in problem.versions:
            name, _, number = spelled.partition("@")
            for ref, origin in self._references(name, int(number)):
                if self._reads_well(partial(self._reader.load, ref)) or (
                    self._restore_manifest(ref.digest)
                ):
                    self._point(ref)
                    origins.append(origin)
                    break
        if len(origins) < len(problem.versions):
            return []
        self._marks.remove("manifest", problem.sha256 or "")
        return origins

    def _live(self, name: str) -> Iterator[Ref]:
        for number in self._refs.numbers(name):
            with suppress(IntegrityError):
                ref = self._refs.read(name, number)
                if not ref.removed:
                    yield ref

    def _mend_blob(self, problem: Problem) -> tuple[bool, str]:
        assert problem.sha256 is not None, "a blob is known by its digest"
        sha256 = problem.sha256
        if self._reads_well(partial(self._hash, sha256)):
            return True, _WELL
        for origin, chunks in self._offers("blob", sha256, lambda source: source.read(sha256)):
            try:
                with Workspace(self._io, self._layout.tmp) as work:
                    self._place(sha256, chunks(), work)
            except (AdapterHubError, FileNotFoundError):
                continue
            return True, f"mended from {origin}"
        return False, self._give_up(problem, "blob", self._layout.blob(sha256))

    def _reads_well(self, read: Callable[[], object]) -> bool:
        """Look again: a disk that refused once may have given all since, and nothing is damaged."""
        try:
            read()
        except (IntegrityError, OSError):
            return False
        return True

    def _hash(self, sha256: str) -> None:
        if hash_file(self._io, self._layout.blob(sha256)) != sha256:
            raise IntegrityError("the bytes are not those that were published")

    def _place(self, sha256: str, chunks: Iterable[bytes], work: Workspace) -> None:
        blobs = BlobStore(self._io, self._layout)
        staged = blobs.stage(chunks, work)
        if staged.sha256 != sha256:
            raise IntegrityError("what came is not what its hash says")
        with PublishLock(self._layout).shared():
            self._io.fsync_dir(blobs.install(staged, work))

    def _offers(
        self, what: str, sha256: str, ask: Callable[[ByteSource], Iterable[bytes]]
    ) -> Iterator[tuple[str, Callable[[], Iterable[bytes]]]]:
        """Yield where bytes may be had: from quarantine, then from each source."""
        for name, path in self._quarantine.files():
            if name == f"{what}-{sha256}":
                yield "quarantine", partial(read_chunks, self._io, path)
        for origin, source in self._sources:
            yield origin, partial(ask, source)

    def _give_up(self, problem: Problem, what: str, path: str) -> str:
        """Mark the loss, then put the damaged bytes away; return what was done."""
        assert problem.sha256 is not None, "only what has a digest is marked"
        if problem.versions:
            fields = {"sha256": problem.sha256, "reason": problem.message, "time": now()}
            self._marks.put(
                Mark.model_validate({"what": what, "versions": problem.versions, **fields})
            )
        if not exists(self._io, path):
            return _MISSING
        try:
            self._quarantine.take({path: f"damaged-{what}-{problem.sha256}"})
        except FileNotFoundError:  # another repair has just put it away
            return _MISSING
        return _MARKED if problem.versions else "damaged, and no version needs it: in quarantine"

    def _mend_alias(self, problem: Problem) -> tuple[bool, str]:
        """Point an alias that is damaged, or astray, to where its log says that it pointed."""
        _, name, _, alias = problem.path.split("/")
        moves = AliasStore(self._io, self._layout, self._refs)
        last = [m.after for m in moves.logged() if (m.name, m.alias) == (name, alias)][-1:]
        if not last or last[0] is None:
            return False, f"its log does not say where it pointed: ahl alias set {name}@N {alias}"
        try:
            moves.move(name, alias, last[0], self._refs.aliases(name).get(alias))
        except AdapterHubError as error:
            return False, f"it pointed to {name}@{last[0]}: {error.message}"
        return True, f"mended from its log: {name}@{last[0]}"
