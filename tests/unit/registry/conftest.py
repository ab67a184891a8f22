"""A registry in a temporary home, and the disks that tests put under it."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from adapterhub_lite_registry import FileIO, ManifestDraft, Registry, Version
from adapterhub_lite_registry.io import StrPath

FILES: dict[str, Path | bytes] = {
    "adapter_model.safetensors": b"weights" * 1000,
    "adapter_config.json": b'{"r": 8}',
    "1_Pooling/config.json": b"{}",
}

Publish = Callable[..., Version]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.open(tmp_path / "home")


@pytest.fixture
def publish(registry: Registry) -> Publish:
    """Publish with defaults for what a test does not care about."""

    def call(
        name: str = "support",
        files: dict[str, Path | bytes] | None = None,
        alias: str | None = None,
        **fields: object,
    ) -> Version:
        draft = ManifestDraft.model_validate({"kind": "adapter", **fields})
        return registry.publish(name, FILES if files is None else files, draft, alias=alias)

    return call


@pytest.fixture
def disks() -> SimpleNamespace:
    """The disks below, by class; pytest's import mode gives tests no other way to them."""
    return SimpleNamespace(Counting=CountingIO, Failing=FailingIO, ReadOnly=ReadOnlyIO)


@pytest.fixture
def flip() -> Callable[..., None]:
    """Flip one bit of a file behind the registry's back."""
    return flip_bit


@pytest.fixture
def files() -> dict[str, Path | bytes]:
    """Three small files."""
    return dict(FILES)


class CountingIO(FileIO):
    """Counts the syncs, and remembers what was synced."""

    def __init__(self) -> None:
        self.file_syncs = 0
        self.dir_syncs: list[str] = []

    def fsync(self, fd: int) -> None:
        self.file_syncs += 1
        super().fsync(fd)

    def fsync_dir(self, path: StrPath) -> None:
        self.dir_syncs.append(os.fspath(path))
        super().fsync_dir(path)

    @property
    def syncs(self) -> int:
        return self.file_syncs + len(self.dir_syncs)


WRITING = ("create", "append", "write", "fsync", "fsync_dir", "link", "rename", "mkdir")


class FailingIO(FileIO):
    """Fails the Nth call that takes space or permission; ``calls`` says how many there were."""

    def __init__(self, fail_at: int, code: int = errno.ENOSPC) -> None:
        self.fail_at = fail_at
        self.code = code
        self.calls = 0

    def __getattribute__(self, name: str) -> object:
        if name in WRITING:
            self.calls += 1
            if self.calls == self.fail_at:
                raise OSError(self.code, os.strerror(self.code))
        return super().__getattribute__(name)


class ReadOnlyIO(FileIO):
    """Refuses every change, as for somebody who may only read."""

    def __getattribute__(self, name: str) -> object:
        if name in (*WRITING, "unlink", "rmdir", "symlink", "reflink"):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return super().__getattribute__(name)


def flip_bit(path: Path, position: int = 0) -> None:
    """Change one bit of a file and set its mtime back."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
