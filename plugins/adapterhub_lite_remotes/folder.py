"""Another registry as a remote: all that makes a registry safe holds for it."""

from collections.abc import Iterable, Sequence

from adapterhub_lite.errors import (
    AliasConflictError,
    IntegrityError,
    NotFoundError,
    RemoteError,
)
from adapterhub_lite_registry import Registry, parse_manifest
from adapterhub_lite_remotes.layout import local_path


def open_folder(address: str, *, create: bool) -> "FolderRemote":
    """Open the registry in a folder; raises RemoteError when there is none."""
    path = local_path(address)
    try:
        return FolderRemote(Registry.open(path, create=create))
    except NotFoundError as error:
        raise RemoteError(
            f"there is no registry in {path}",
            remote=address,
            hint="push something there first",
        ) from error


class FolderRemote:
    """A registry's verbs, as those of a remote."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._exchange = registry.exchange

    def has(self, sha256: str, size: int) -> bool:
        """Say whether the file is there and undamaged."""
        return self._exchange.has(sha256, size)

    def read(self, sha256: str) -> Iterable[bytes]:
        """Yield a file's bytes."""
        return self._exchange.read(sha256)

    def write(self, sha256: str, size: int, chunks: Iterable[bytes]) -> None:
        """Store a file."""
        self._exchange.write(sha256, size, chunks)

    def read_manifest(self, digest: str) -> Iterable[bytes]:
        """Yield a manifest's bytes."""
        return (self._exchange.read_manifest(digest),)

    def write_manifest(self, digest: str, data: bytes) -> None:
        """Store a manifest."""
        self._exchange.write_manifest(data)

    def read_signatures(self, digest: str) -> Iterable[Iterable[bytes]]:
        """Yield a manifest's signatures; IntegrityError for one that is damaged."""
        signatures, problems = self._registry.signatures.of(digest)
        if problems:
            raise IntegrityError(str(problems[0]))
        return [(data,) for data in signatures]

    def write_signature(self, digest: str, data: bytes) -> None:
        """Keep a signature."""
        manifest = parse_manifest(self._exchange.read_manifest(digest), digest, digest)
        self._registry.signatures.add(manifest, digest, data)

    def names(self) -> Sequence[str]:
        """Return the names that have a version."""
        return self._registry.names()

    def numbers(self, name: str) -> Sequence[int]:
        """Return all numbers that were handed out."""
        return self._exchange.numbers(name)

    def resolve(self, name: str, number: int) -> str | None:
        """Return a version's digest, unless it is not there or was removed."""
        try:
            return self._registry.resolve(f"{name}@{number}").digest
        except NotFoundError:
            return None

    def publish(self, name: str, number: int, digest: str) -> bool:
        """Make the manifest a version."""
        return self._exchange.adopt(self._exchange.read_manifest(digest), number)

    def read_alias(self, name: str, alias: str) -> int | None:
        """Return where an alias points."""
        return self._registry.aliases(name).get(alias)

    def write_alias(self, name: str, alias: str, number: int, expected: int | None) -> bool:
        """Move an alias by compare-and-swap."""
        try:
            self._registry.set_alias(name, alias, number, expected=expected)
        except AliasConflictError:
            return False
        return True

    def close(self) -> None:
        """Hold nothing."""
