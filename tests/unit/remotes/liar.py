"""A remote of which nothing is to be believed."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any

import rfc8785

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.plugins import PluginSource
from adapterhub_lite.specs import RemoteSpec
from tests.unit.remotes.conftest import tensors

NUMBERS = itertools.count()


def two_files() -> dict[str, bytes]:
    """Return files that no other test has."""
    number = next(NUMBERS)
    return {
        "adapter_model.safetensors": tensors(number),
        "adapter_config.json": b'{"number": %d}' % number,
    }


class Liar:
    """Holds what it is given, and says what it is told to say."""

    def __init__(self) -> None:
        self.blobs: dict[str, Iterable[bytes]] = {}
        self.manifests: dict[str, Iterable[bytes]] = {}
        self.refs: dict[tuple[str, int], str] = {}
        self.aliases: dict[tuple[str, str], int] = {}
        self.read_bytes = 0
        self.closed = 0

    def has(self, sha256: str, size: int) -> bool:
        return sha256 in self.blobs

    def read(self, sha256: str) -> Iterator[bytes]:
        for chunk in self.blobs[sha256]:
            self.read_bytes += len(chunk)
            yield chunk

    def write(self, sha256: str, size: int, chunks: Iterable[bytes]) -> None:
        self.blobs[sha256] = list(chunks)

    def read_manifest(self, digest: str) -> Iterator[bytes]:
        for chunk in self.manifests[digest]:
            self.read_bytes += len(chunk)
            yield chunk

    def write_manifest(self, digest: str, data: bytes) -> None:
        self.manifests[digest] = [data]

    def names(self) -> Sequence[str]:
        return sorted({name for name, _ in self.refs})

    def numbers(self, name: str) -> Sequence[int]:
        return [number for known, number in self.refs if known == name]

    def resolve(self, name: str, number: int) -> str | None:
        return self.refs.get((name, number))

    def publish(self, name: str, number: int, digest: str) -> bool:
        return self.refs.setdefault((name, number), digest) == digest

    def read_alias(self, name: str, alias: str) -> int | None:
        return self.aliases.get((name, alias))

    def write_alias(self, name: str, alias: str, number: int, expected: int | None) -> bool:
        return False

    def close(self) -> None:
        self.closed += 1

    def offer(
        self,
        files: dict[str, bytes] | None = None,
        *,
        name: str = "support",
        number: int = 1,
        **changes: Any,
    ) -> str:
        """Hold a version of these files; ``changes`` are keys of its manifest."""
        entries = []
        for path, data in (two_files() if files is None else files).items():
            sha256 = hashlib.sha256(data).hexdigest()
            self.blobs.setdefault(sha256, [data])
            entries.append(
                {"path": path, "sha256": sha256, "size": len(data), "media_type": "x", "role": "x"}
            )
        manifest = {
            "schema": 1,
            "kind": "adapter",
            "name": name,
            "files": entries,
            "created_at": "2026-01-01T00:00:00.000000Z",
            "hyperparameters": {},
            "metrics": [],
            "parents": [],
            "env": {},
            **changes,
        }
        return self.say(rfc8785.dumps(manifest), name, number)

    def say(self, data: bytes, name: str = "support", number: int = 1) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.manifests[digest] = [data]
        self.refs[name, number] = digest
        return digest


LIAR = Liar()


def open_liar(address: str, *, create: bool) -> Liar:
    return LIAR


def offering(*specs: RemoteSpec, name: str = "acme") -> PluginSource:
    plugin = ModuleType(name)
    vars(plugin)["adapterhub_remotes"] = hookimpl(lambda: specs)
    return PluginSource("main", name, "1.0", lambda: plugin)


SPEC = RemoteSpec(
    name="liar", summary="Lies.", implementation=f"{__name__}:open_liar", schemes=("liar",)
)
