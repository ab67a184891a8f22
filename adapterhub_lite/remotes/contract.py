"""What a place that versions are pushed to and pulled from must offer: a few verbs.

They fit a folder, an object store, an OCI registry (files are layers, a manifest is a config, a
number is a tag) and a hub repository (files are uploaded by their hash, a reference is a commit).
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable


class Remote(Protocol):
    """A place elsewhere that holds versions: blobs and manifests by digest, and references.

    The core hashes all that it sends and all that it is given, so a remote need not. Every method
    raises RemoteError where the place cannot be reached or refuses. Files and manifests are written
    before a reference is, and in full or not at all. ``sha256`` is 64 hexadecimal digits, a
    manifest's ``digest`` the same behind ``sha256:``.
    """

    def has(self, sha256: str, size: int) -> bool:
        """Say whether a file with that hash, and of ``size`` bytes, is there."""

    def read(self, sha256: str) -> Iterable[bytes]:
        """Yield a file's bytes; raises NotFoundError."""

    def write(self, sha256: str, size: int, chunks: Iterable[bytes]) -> None:
        """Store a file; what ``chunks`` raises has to leave nothing behind."""

    def read_manifest(self, digest: str) -> Iterable[bytes]:
        """Yield a manifest's bytes; raises NotFoundError."""

    def write_manifest(self, digest: str, data: bytes) -> None:
        """Store a manifest, of which all files are there."""

    def names(self) -> Sequence[str]:
        """Return the names of which there are versions."""

    def numbers(self, name: str) -> Sequence[int]:
        """Return the numbers that versions of ``name`` have or had, in any order."""

    def resolve(self, name: str, number: int) -> str | None:
        """Return the digest of the manifest of that version; None where there is none."""

    def publish(self, name: str, number: int, digest: str) -> bool:
        """Refer to a manifest as that version; False where the number is taken already.

        Of two who publish the same number at once one is told False, as far as the place can tell.
        """

    def read_alias(self, name: str, alias: str) -> int | None:
        """Return the number that an alias points to; None where there is no such alias."""

    def write_alias(self, name: str, alias: str, number: int, expected: int | None) -> bool:
        """Point an alias at a version; False where it no longer points to ``expected``."""

    def close(self) -> None:
        """Let go of what is held; called once, after success and failure alike."""


@runtime_checkable
class KeepsSignatures(Protocol):
    """A remote that keeps signatures beside manifests, as those here do; others refuse signed ones.

    Signatures are written after their manifest, and before a reference if that is new.
    """

    def read_signatures(self, digest: str) -> Iterable[Iterable[bytes]]:
        """Yield the bytes of each signature of a manifest; none where there is none."""

    def write_signature(self, digest: str, data: bytes) -> None:
        """Keep one more signature of a manifest, unless it is there."""


class RemoteOpener(Protocol):
    """Opens a remote by its address."""

    def __call__(self, address: str, *, create: bool) -> Remote:
        """Open the place; ``create``: lay it out if it is not there, for something will be written.

        Raises RemoteError, and MissingDependencyError with the pip line.
        """
