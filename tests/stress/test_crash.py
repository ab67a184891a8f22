"""Power cuts: whatever a disk may keep of what was not synced, nothing promised is lost.

A process that is killed proves little, since the system still writes what it was given. Here a
model of the disk stands behind the I/O facade. It knows of every file and folder what was synced;
after every call the power may go, and then any part of the rest is kept or lost.
"""

import random
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from adapterhub_lite_registry import FileIO, ManifestDraft, Registry, RegistryError
from adapterhub_lite_registry.io import StrPath

DRAFT = ManifestDraft(kind="adapter")


@dataclass(eq=False)
class File:
    data: bytes = b""
    durable: bytes = b""


@dataclass(eq=False)
class Folder:
    entries: "dict[str, File | Folder]" = field(default_factory=dict)
    durable: "dict[str, File | Folder]" = field(default_factory=dict)
    unsynced: "list[tuple[str, File | Folder | None]]" = field(default_factory=list)

    def put(self, name: str, node: "File | Folder | None") -> None:
        if node is None:
            del self.entries[name]
        else:
            self.entries[name] = node
        self.unsynced.append((name, node))

    def sync(self) -> None:
        self.durable = dict(self.entries)
        self.unsynced.clear()


class FragileDisk(FileIO):
    """Works on real files, keeps the model beside them, and calls ``after`` every change."""

    def __init__(self, home: Path, forgets: str) -> None:
        self.home = home
        self.forgets = re.compile(forgets)  # syncs of the paths that match do nothing
        self.root = Folder()
        self.files: dict[int, tuple[str, File]] = {}
        self.after: Callable[[], None] = lambda: None

    def _find(self, path: StrPath) -> tuple[Folder, str]:
        *folders, name = Path(path).relative_to(self.home).parts
        folder = self.root
        for part in folders:
            found = folder.entries[part]
            assert isinstance(found, Folder)
            folder = found
        return folder, name

    def _is_forgotten(self, path: StrPath) -> bool:
        return self.forgets.fullmatch(str(Path(path).relative_to(self.home))) is not None

    def _put(self, path: StrPath, node: File | Folder | None) -> None:
        folder, name = self._find(path)
        folder.put(name, node)
        self.after()

    def _take(self, path: StrPath) -> File | Folder:
        folder, name = self._find(path)
        return folder.entries[name]

    def _remember(self, fd: int, path: StrPath) -> int:
        node = self._take(path)
        assert isinstance(node, File)
        self.files[fd] = (str(path), node)
        return fd

    def open(self, path: StrPath) -> int:
        return self._remember(super().open(path), path)

    def create(self, path: StrPath, mode: int = 0o644) -> int:
        fd = super().create(path, mode)
        self._put(path, File())
        return self._remember(fd, path)

    def append(self, path: StrPath) -> int:
        fd = super().append(path)
        folder, name = self._find(path)
        if name not in folder.entries:
            folder.put(name, File())
        return self._remember(fd, path)

    def write(self, fd: int, data: bytes) -> None:
        super().write(fd, data)
        self.files[fd][1].data += data
        self.after()

    def fsync(self, fd: int) -> None:
        path, node = self.files[fd]
        if not self._is_forgotten(path):
            node.durable = node.data
        self.after()

    def fsync_dir(self, path: StrPath) -> None:
        if Path(path).is_relative_to(self.home) and not self._is_forgotten(path):
            folder = self.root if Path(path) == self.home else self._take(path)
            assert isinstance(folder, Folder)
            folder.sync()
        self.after()

    def close(self, fd: int) -> None:
        super().close(fd)
        self.files.pop(fd, None)

    def link(self, source: StrPath, target: StrPath) -> None:
        super().link(source, target)
        self._put(target, self._take(source))

    def rename(self, source: StrPath, target: StrPath) -> None:
        super().rename(source, target)
        node = self._take(source)
        self._put(target, node)
        self._put(source, None)

    def unlink(self, path: StrPath) -> None:
        super().unlink(path)
        self._put(path, None)

    def mkdir(self, path: StrPath) -> None:
        super().mkdir(path)
        self._put(path, Folder())

    def rmdir(self, path: StrPath) -> None:
        super().rmdir(path)
        self._put(path, None)

    def cut_power(self, target: Path, rng: random.Random) -> None:
        """Write to ``target`` what one possible disk holds after a power cut right now."""
        self._restore(self.root, target, rng, kept=rng.choice((0.0, 0.5, 1.0)))

    def _restore(self, folder: Folder, target: Path, rng: random.Random, kept: float) -> None:
        target.mkdir(exist_ok=True)
        entries = dict(folder.durable)
        for name, node in folder.unsynced:
            if rng.random() < kept:
                if node is None:
                    entries.pop(name, None)
                else:
                    entries[name] = node
        for name, node in entries.items():
            if isinstance(node, File):
                # Files are only ever appended to, and an append cannot lose what was durable.
                torn = node.data[: rng.randrange(len(node.durable), len(node.data) + 1)]
                whole = node.data == node.durable
                content = node.data if whole else rng.choice((node.durable, torn))
                (target / name).write_bytes(content)
            elif node.durable or node.unsynced or len(name) != 2:
                self._restore(node, target / name, rng, kept)


class Promises:
    """What callers were told, and the check that a disk after a power cut keeps it."""

    def __init__(self, disk: FragileDisk, scratch: Path, seed: int) -> None:
        self.disk = disk
        self.scratch = scratch
        self.rng = random.Random(seed)
        self.cuts = 0
        self.live: dict[str, str] = {}
        self.leaving: str | None = None
        self.alias: set[int | None] = {None}
        self.moves = 0

    def check(self) -> None:
        self.cuts += 1
        home = self.scratch / f"{self.cuts}"
        self.disk.cut_power(home, self.rng)
        registry = Registry.open(home, create=False)
        assert registry.verify() == []
        for ref, digest in self.live.items():
            if ref != self.leaving:
                assert registry.resolve(ref).digest == digest, ref
        assert registry.aliases("support").get("prod") in self.alias
        assert len(registry.alias_history("support")) >= self.moves
        assert len(registry.search()) == sum(len(registry.versions(n)) for n in registry.names())
        shutil.rmtree(home)


def live_a_little(registry: Registry, promises: Promises) -> None:
    """Publish, reuse bytes, move an alias and remove a version, with power cuts all the time."""

    def publish(name: str, content: bytes) -> int:
        files: dict[str, bytes | Path] = {"a.json": content, "shared.json": b"{}"}
        version = registry.publish(name, files, DRAFT)
        promises.live[str(version)] = version.digest
        promises.disk.after()
        return version.number

    def move(number: int) -> None:
        before = promises.alias
        promises.alias = before | {number}
        registry.set_alias("support", "prod", number)
        promises.alias = {number}
        promises.moves += 1
        promises.disk.after()

    move(publish("support", b"first"))
    publish("other", b"first")
    move(publish("support", b"second"))
    promises.leaving = "support@1"
    registry.remove("support@1")
    publish("support", b"third")


def run(tmp_path: Path, forgets: str, seed: int) -> int:
    home = (tmp_path / f"home{seed}").resolve()
    scratch = tmp_path / f"cuts{seed}"
    home.mkdir()
    scratch.mkdir()
    disk = FragileDisk(home, forgets)
    registry = Registry.open(home, io=disk)
    promises = Promises(disk, scratch, seed)
    disk.after = promises.check
    live_a_little(registry, promises)
    return promises.cuts


@pytest.mark.parametrize("seed", range(3))
def test_a_power_cut_at_any_moment_breaks_no_promise(tmp_path, seed):
    assert run(tmp_path, "nothing", seed) > 100


FORGOTTEN = [
    "tmp/.*",  # the bytes of blobs, manifests, references and aliases
    "blobs/sha256/..",
    "manifests/sha256/..",
    "refs/support/v",
    "refs/support/alias",
    "refs/support",
    "refs",
    "journal/aliases.log",
    "journal",
]


@pytest.mark.parametrize("forgotten", FORGOTTEN)
def test_the_model_notices_a_sync_that_is_left_out(tmp_path, forgotten):
    for seed in range(10):
        try:
            run(tmp_path, forgotten, seed)
        except (AssertionError, RegistryError):
            return
    pytest.fail("the power cuts did no harm: is the sync needed, and is the model right?")
