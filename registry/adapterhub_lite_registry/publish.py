"""Publishing: bytes first, then what points to them, and last the one step that counts.

A version exists from the moment its reference is linked into ``refs/<name>/v/``. All that it
names is durable before that, so a crash leaves either nothing visible or a complete version.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from stat import S_ISREG

from adapterhub_lite_registry import codec
from adapterhub_lite_registry.blobs import BlobStore, link_into_shard
from adapterhub_lite_registry.errors import InvalidManifestError
from adapterhub_lite_registry.io import FileIO, parent, read_chunks
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.manifest import FileEntry, Manifest, ManifestDraft, now
from adapterhub_lite_registry.names import check_name, check_paths
from adapterhub_lite_registry.refs import Ref, RefStore
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
    """Where a file's bytes come from, and what the manifest says of it; guessed where None."""

    content: Path | bytes
    role: str | None = None
    media_type: str | None = None


class Publisher:
    """Turns files and a draft into a version."""

    def __init__(self, io: FileIO, layout: Layout, refs: RefStore) -> None:
        self._io = io
        self._layout = layout
        self._refs = refs
        self._blobs = BlobStore(io, layout)

    def publish(
        self, name: str, files: Mapping[str, Path | bytes | Source], draft: ManifestDraft
    ) -> Version:
        """Publish one version and return it; what may be wrong is checked before any writing."""
        check_name(name)
        _check_files(files)
        codec.encode(draft)
        sweep(self._io, self._layout.tmp)
        with Workspace(self._io, self._layout.tmp) as work:
            entries = self._store_files(files, work)
            manifest = _complete(draft, name, entries)
            digest = self._store_manifest(codec.encode(manifest), work)
            number = self._commit(name, digest, work)
        return Version(name, number, digest, manifest)

    def _store_files(
        self, files: Mapping[str, Path | bytes | Source], work: Workspace
    ) -> list[FileEntry]:
        entries = []
        shards = set()
        for path, given in sorted(files.items()):
            source = given if isinstance(given, Source) else Source(given)
            staged = self._blobs.stage(self._chunks(source.content), work)
            shards.add(self._blobs.install(staged, work))
            entries.append(_entry(path, source, staged.sha256, staged.size))
        for shard in sorted(shards):
            self._io.fsync_dir(shard)
        return entries

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
            reference = work.write(Ref(name, number, digest).line(), mode=0o444)
            target = self._layout.version(name, number)
            try:
                self._io.link(reference, target)
            except FileExistsError:
                continue  # another publisher was faster
            self._make_durable(target)
            return number

    def _make_durable(self, reference: str) -> None:
        try:
            self._io.fsync_dir(parent(reference))
        except OSError:
            # The caller will hear that this failed, so it must not be found later.
            with suppress(OSError):
                self._io.unlink(reference)
            raise


def _check_files(files: Mapping[str, Path | bytes | Source]) -> None:
    if not files:
        raise InvalidManifestError("a version needs at least one file")
    check_paths(files)
    for path in files:
        if PurePosixPath(path).suffix.lower() in _PICKLES:
            raise InvalidManifestError(
                f"{path!r} may hold a pickle, which can run code when it is loaded",
                hint="save weights as safetensors and the rest as JSON",
            )


def _entry(path: str, source: Source, sha256: str, size: int) -> FileEntry:
    return FileEntry(
        path=path,
        sha256=sha256,
        size=size,
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
