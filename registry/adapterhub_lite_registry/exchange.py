"""Versions as they are, digest for digest: what moves between this registry and another store.

Bytes come first, checked against their digest while they are written; then the manifest, which
has to be in our own canonical form; last the reference. What was put here and is never referred to
does no harm.
"""

from collections.abc import Iterable, Iterator

from adapterhub_lite_registry import codec
from adapterhub_lite_registry.blobs import BlobStore
from adapterhub_lite_registry.errors import IntegrityError, NotFoundError
from adapterhub_lite_registry.faults import guarded
from adapterhub_lite_registry.io import FileIO, at_most, read_chunks, read_small
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.manifest import Manifest, Parent
from adapterhub_lite_registry.names import check_name
from adapterhub_lite_registry.publish import Publisher, check_files
from adapterhub_lite_registry.refs import RefStore
from adapterhub_lite_registry.signatures import Signatures
from adapterhub_lite_registry.space import Space
from adapterhub_lite_registry.temporary import Workspace
from adapterhub_lite_registry.versions import Version, VersionReader

MAX_MANIFEST = codec.MAX_BYTES
"""No manifest has more bytes; whoever reads one from elsewhere need not read on."""


class Exchange:
    """A registry's blobs, manifests and references, one by one."""

    def __init__(self, io: FileIO, layout: Layout, refs: RefStore, reader: VersionReader) -> None:
        self._io = io
        self._layout = layout
        self._refs = refs
        self._reader = reader
        self._blobs = BlobStore(io, layout)
        self._space = Space(io, layout)

    @guarded("read the registry")
    def has(self, sha256: str, size: int) -> bool:
        """Tell whether the blob is here and undamaged."""
        return self._blobs.has(sha256, size)

    @guarded("read the registry")
    def read(self, sha256: str) -> Iterator[bytes]:
        """Return a blob's bytes in chunks, as they lie here; NotFoundError if there is none."""
        path = self._layout.blob(sha256)
        try:
            self._io.stat(path)
        except FileNotFoundError:
            raise NotFoundError(f"no file here has the hash {sha256}") from None
        return read_chunks(self._io, path)

    @guarded("write a file")
    def write(self, sha256: str, size: int, chunks: Iterable[bytes]) -> None:
        """Put a blob here; IntegrityError unless the chunks have that hash and size.

        Of more bytes than ``size`` no more are written. StorageError where there is no room.
        """
        if not self.has(sha256, size):
            self._space.check(size)
        with Workspace(self._io, self._layout.tmp) as work:
            staged = self._blobs.stage(at_most(size, chunks), work)
            if (staged.sha256, staged.size) != (sha256, size):
                raise IntegrityError(f"{staged.size:,} bytes came that do not match {sha256}")
            self._io.fsync_dir(self._blobs.install(staged, work))

    @guarded("read the registry")
    def read_manifest(self, digest: str) -> bytes:
        """Return a manifest's bytes; NotFoundError, or IntegrityError if they are damaged."""
        try:
            data = read_small(self._io, self._layout.manifest(digest), MAX_MANIFEST)
        except FileNotFoundError:
            raise NotFoundError(f"no manifest here has the digest {digest}") from None
        codec.decode(data, digest, digest)
        return data

    @guarded("write a manifest")
    def write_manifest(self, data: bytes) -> None:
        """Put a manifest here; raises as :func:`parse_manifest`."""
        parse_manifest(data, codec.digest_of(data), "the manifest")
        Publisher(self._io, self._layout, self._refs).store_manifest(data)

    @guarded("read the registry")
    def numbers(self, name: str) -> list[int]:
        """Return every number of a name that was handed out, removed ones too, ascending."""
        return self._refs.numbers(name)

    @guarded("read the registry")
    def find(self, name: str, digest: str) -> Version | None:
        """Return the version of that name and digest, if there is one."""
        for number in reversed(self._refs.numbers(name)):
            ref = self._refs.read(name, number)
            if ref.digest == digest and not ref.removed:
                return self._reader.load(ref)
        return None

    @guarded("publish")
    def adopt(self, data: bytes, number: int) -> bool:
        """Make a manifest a version with that number; False where the number is taken.

        IntegrityError if it is no canonical manifest or a blob of it is not here,
        InvalidManifestError for a path that is not allowed, SignatureError where this registry asks
        for a signature and none that counts is stored.
        """
        digest = codec.digest_of(data)
        manifest = parse_manifest(data, digest, f"version {number}")
        Signatures(self._io, self._layout).require(manifest, digest, f"{manifest.name}@{number}")
        for entry in manifest.files:
            if not self.has(entry.sha256, entry.size):
                raise IntegrityError(f"{manifest.name}: {entry.path} is damaged or missing")
        publisher = Publisher(self._io, self._layout, self._refs)
        return publisher.adopt(data, manifest, number)


def parse_manifest(data: bytes, digest: str, where: str) -> Manifest:
    """Return the manifest that a stranger sent, once it is seen to be one of ours.

    IntegrityError if the bytes do not match ``digest``, break the schema or are not canonical JSON,
    as with a key that is there twice. InvalidManifestError for a path that is not allowed, or a
    file that may hold a pickle.
    """
    if len(data) > MAX_MANIFEST:
        raise IntegrityError(f"{where}: the manifest has more than {MAX_MANIFEST:,} bytes")
    manifest = codec.decode(data, digest, where)
    check_files([entry.path for entry in manifest.files])
    if not codec.is_canonical(data):
        raise IntegrityError(f"{where}: the manifest is not in canonical form")
    return manifest


def renamed(manifest: Manifest, digest: str, name: str) -> bytes:
    """Return a manifest like that one under another name, which has the first as a parent.

    The same each time, so that a version that is renamed twice is one version. InvalidNameError.
    """
    parent = Parent(digest=digest, role="renamed")
    changes = {"name": check_name(name), "parents": (*manifest.parents, parent)}
    return codec.encode(manifest.model_copy(update=changes))
