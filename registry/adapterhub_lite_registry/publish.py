"""Publishing: bytes first, then what points to them, and last the one step that counts.

A version exists from the moment its reference is linked into ``refs/<name>/v/``. All that it
names is durable before that, so a crash leaves either nothing visible or a complete version.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from stat import S_ISREG

from adapterhub_lite_registry import codec
from adapterhub_lite_registry.blobs import BlobStore, Staged, link_into_shard
from adapterhub_lite_registry.errors import IntegrityError, InvalidManifestError
from adapterhub_lite_registry.io import FileIO, exists, parent, read_chunks
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.locks import PublishLock
from adapterhub_lite_registry.manifest import FileEntry, Manifest, ManifestDraft, now
from adapterhub_lite_registry.names import check_name, check_paths
from adapterhub_lite_registry.refs import Ref, RefStore
from adapterhub_lite_registry.space import Space
from adapterhub_lite_registry.temporary import Workspace, sweep
from adapterhub_lite_registry.versions import Version

_PICKLES = {".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"}

_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".gguf": "application/vnd.gguf",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".onnx": "application/vnd.onnx",
    ".png": "image/png",
    ".safetensors": "application/vnd.safetensors",
    ".txt": "text/plain",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}

_ROLES = {
    ".gguf": "weights",
    ".html": "report",
    ".json": "config",
    ".md": "documentation",
    ".onnx": "weights",
    ".safetensors": "weights",
}

_TOKENIZER_FILES = ("tokenizer", "vocab", "merges", "special_tokens", "spiece", "sentencepiece")


@dataclass(frozen=True)
class Source:
    """Where a file's bytes come from, and what the manifest says of it; guessed where None.

    With ``sha256`` the file lies in a folder of :meth:`Registry.scratch` and is given over: it is
    what goes into the store, neither copied nor hashed again, and may not be written to any more.
    """

    content: Path | bytes
    role: str | None = None
    media_type: str | None = None
    sha256: str | None = None


class Publisher:
    """Turns files and a draft into a version."""

    def __init__(self, io: FileIO, layout: Layout, refs: RefStore) -> None:
        self._io = io
        self._layout = layout
        self._refs = refs
        self._blobs = BlobStore(io, layout)
        self._lock = PublishLock(layout)
        self._space = Space(io, layout)

    def publish(
        self, name: str, files: Mapping[str, Path | bytes | Source], draft: ManifestDraft
    ) -> Version:
        """Publish one version and return it; what may be wrong is checked before any writing."""
        check_name(name)
        check_files(files)
        codec.encode(draft)
        sweep(self._io, self._layout.tmp)
        self._check_space(files)
        with Workspace(self._io, self._layout.tmp) as work:
            staged = {path: self._stage(source, work) for path, source in sorted(files.items())}
            with self._lock.shared():
                self._install(staged.values(), work)
                entries = [_entry(path, files[path], file) for path, file in staged.items()]
                manifest = _complete(draft, name, entries)
                digest = self._store_manifest(codec.encode(manifest), work)
                number = self._commit(name, digest, work)
        return Version(name, number, digest, manifest)

    def adopt(self, data: bytes, manifest: Manifest, number: int) -> bool:
        """Commit a manifest as it is, under that number; False where the number is taken.

        Its blobs are in the store already; IntegrityError if one was collected meanwhile.
        """
        check_files([entry.path for entry in manifest.files])
        with Workspace(self._io, self._layout.tmp) as work, self._lock.shared():
            for entry in manifest.files:
                if not exists(self._io, self._layout.blob(entry.sha256)):
                    raise IntegrityError(
                        f"{manifest.name}: {entry.path} was collected while it waited",
                        hint="do it again, and give 'ahl gc' a grace",
                    )
            for shard in sorted({parent(self._layout.blob(e.sha256)) for e in manifest.files}):
                self._io.fsync_dir(shard)  # whoever put the blobs there may not have come to it
            digest = self._store_manifest(data, work)
            self._refs.prepare(manifest.name)
            return self._link(Ref(manifest.name, number, digest), work)

    def store_manifest(self, data: bytes) -> None:
        """Put a manifest into the store, where nothing refers to it yet."""
        with Workspace(self._io, self._layout.tmp) as work:
            self._store_manifest(data, work)

    def _check_space(self, files: Mapping[str, Path | bytes | Source]) -> None:
        """Refuse what has no room; near the limit, files are hashed to see which are new."""
        sizes = {path: self._size(_content(given)) for path, given in files.items()}
        here = {path for path, given in files.items() if _given_over(given)}
        if not self._space.has(*_sums(sizes, here)):
            hashes = {
                _given_over(given) or self._hash(_content(given)): path
                for path, given in files.items()
            }
            new = {path for sha256, path in hashes.items() if not self._has(sha256)}
            sizes = {path: sizes[path] for path in new}
        self._space.check(*_sums(sizes, here))

    def _has(self, sha256: str) -> bool:
        return exists(self._io, self._layout.blob(sha256))

    def _hash(self, content: Path | bytes) -> str:
        hasher = hashlib.sha256()
        for chunk in self._chunks(content):
            hasher.update(chunk)
        return hasher.hexdigest()

    def _size(self, content: Path | bytes) -> int:
        return len(content) if isinstance(content, bytes) else self._io.stat(content).st_size

    def _stage(self, given: Path | bytes | Source, work: Workspace) -> Staged:
        content, sha256 = _content(given), _given_over(given)
        if sha256 is None:
            return self._blobs.stage(self._chunks(content), work)
        if isinstance(content, Path) and content.is_relative_to(self._layout.tmp):
            found = self._io.lstat(content)
            if S_ISREG(found.st_mode):
                return Staged(str(content), sha256, found.st_size)
        raise InvalidManifestError(f"{content!r} is no regular file of a scratch folder")

    def _install(self, staged: Iterable[Staged], work: Workspace) -> None:
        for shard in sorted({self._blobs.install(file, work) for file in staged}):
            self._io.fsync_dir(shard)

    def _chunks(self, content: Path | bytes) -> Iterable[bytes]:
        if isinstance(content, bytes):
            return (content,)
        if not S_ISREG(self._io.stat(content).st_mode):
            raise InvalidManifestError(f"{content} is not a regular file")
        return read_chunks(self._io, content)

    def _store_manifest(self, data: bytes, work: Workspace) -> str:
        digest = codec.digest_of(data)
        target = self._layout.manifest(digest)
        temporary = work.write(data, mode=0o444)
        try:
            link_into_shard(self._io, temporary, target)
        except FileExistsError:
            self._io.rename(temporary, target)  # the same bytes, or damaged ones
        self._io.fsync_dir(parent(target))
        return digest

    def _commit(self, name: str, digest: str, work: Workspace) -> int:
        """Link the version's reference under the first number that nobody has."""
        self._refs.prepare(name)
        number = max(self._refs.numbers(name), default=0)
        while True:
            number += 1
            if self._link(Ref(name, number, digest), work):
                return number  # else another publisher was faster

    def _link(self, ref: Ref, work: Workspace) -> bool:
        """Link a version's reference into its place; False where something lies there."""
        target = self._layout.version(ref.name, ref.number)
        try:
            self._io.link(work.write(ref.line(), mode=0o444), target)
        except FileExistsError:
            return False
        self._make_durable(target)
        return True

    def _make_durable(self, reference: str) -> None:
        try:
            self._io.fsync_dir(parent(reference))
        except OSError:
            # The caller will hear that this failed, so it must not be found later.
            with suppress(OSError):
                self._io.unlink(reference)
            raise


def check_files(files: Collection[str]) -> None:
    """Check the paths of a version's files: some, plain, and none that may hold a pickle.

    Raises InvalidManifestError.
    """
    if not files:
        raise InvalidManifestError("a version needs at least one file")
    check_paths(files)
    for path in files:
        if PurePosixPath(path).suffix.lower() in _PICKLES:
            raise InvalidManifestError(
                f"{path!r} may hold a pickle, which can run code when it is loaded",
                hint="save weights as safetensors and the rest as JSON",
            )


def _content(given: Path | bytes | Source) -> Path | bytes:
    return given.content if isinstance(given, Source) else given


def _sums(sizes: Mapping[str, int], here: Collection[str]) -> tuple[int, int]:
    """Return how many bytes are needed, and how many of them are on the disk already."""
    return sum(sizes.values()), sum(size for path, size in sizes.items() if path in here)


def _given_over(given: Path | bytes | Source) -> str | None:
    """Return the hash of a file that is given over; None of one whose bytes are taken."""
    return given.sha256 if isinstance(given, Source) else None


def _entry(path: str, given: Path | bytes | Source, staged: Staged) -> FileEntry:
    source = given if isinstance(given, Source) else Source(given)
    return FileEntry(
        path=path,
        sha256=staged.sha256,
        size=staged.size,
        media_type=source.media_type or _guess_media_type(path),
        role=source.role or _guess_role(path),
    )


def _guess_media_type(path: str) -> str:
    suffix = PurePosixPath(path).suffix.lower()
    return _MEDIA_TYPES.get(suffix, "application/octet-stream")


def _guess_role(path: str) -> str:
    file = PurePosixPath(path)
    if file.name.startswith(_TOKENIZER_FILES):
        return "tokenizer"
    return _ROLES.get(file.suffix.lower(), "data")


def _complete(draft: ManifestDraft, name: str, entries: list[FileEntry]) -> Manifest:
    known = {field: getattr(draft, field) for field in ManifestDraft.model_fields}
    return Manifest(**known, name=name, files=tuple(entries), created_at=now())
