"""A disk that may lose power, and a process on it that may be killed, behind the I/O facade."""

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from adapterhub_lite_registry import FileIO
from adapterhub_lite_registry.io import StrPath

PLUMBING = ("io.py", "temporary.py", "disk.py")


class Killed(BaseException):
    """The process ended here: nothing that it would do next is done."""


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
    """Works on real files and keeps a model beside them, of what was synced.

    After every change ``after`` is called; the ``kill_in``-th from now on is the last, or the
    sync at the site ``kill_at`` is not reached. Syncs that are asked for at the site ``forgets`` do
    nothing; ``sites`` are all that were met.
    """

    def __init__(self, home: Path, forgets: str = "") -> None:
        self.home = home
        self.forgets = forgets
        self.sites: set[str] = set()
        self.kill_in: int | None = None
        self.kill_at = ""
        self.is_killed = False
        self.root = Folder()
        self.files: dict[int, tuple[str, File]] = {}
        self.after: Callable[[], None] = lambda: None

    def revive(self) -> None:
        """Go on as another process on the same disk."""
        self.is_killed, self.kill_in, self.kill_at = False, None, ""

    def _changed(self) -> None:
        self.after()
        if self.kill_in is not None:
            self.kill_in -= 1
            self.is_killed = self.kill_in <= 0
        self._live()

    def _live(self) -> None:
        if self.is_killed:
            raise Killed

    def _find(self, path: StrPath) -> tuple[Folder, str]:
        *folders, name = Path(path).relative_to(self.home).parts
        folder = self.root
        for part in folders:
            found = folder.entries[part]
            assert isinstance(found, Folder)
            folder = found
        return folder, name

    def _is_forgotten(self, path: StrPath) -> bool:
        """Note the site of a sync, a function and a kind of place; end there if told to."""
        frame = sys._getframe(2)
        while frame.f_code.co_filename.endswith(PLUMBING):
            assert frame.f_back is not None
            frame = frame.f_back
        site = f"{frame.f_code.co_qualname} {_kind(Path(path).relative_to(self.home))}"
        self.sites.add(site)
        if site == self.kill_at:
            self.is_killed = True
            self._live()
        return site == self.forgets

    def _put(self, path: StrPath, node: File | Folder | None) -> None:
        folder, name = self._find(path)
        folder.put(name, node)
        self._changed()

    def _take(self, path: StrPath) -> File | Folder:
        folder, name = self._find(path)
        return folder.entries[name]

    def _remember(self, fd: int, path: StrPath) -> int:
        node = self._take(path)
        assert isinstance(node, File)
        self.files[fd] = (str(path), node)
        return fd

    def open(self, path: StrPath) -> int:
        fd = super().open(path)
        if not Path(path).is_relative_to(self.home):
            return fd  # a file of somebody else's, which is read alone
        return self._remember(fd, path)

    def create(self, path: StrPath, mode: int = 0o644) -> int:
        self._live()
        fd = super().create(path, mode)
        self._put(path, File())
        return self._remember(fd, path)

    def append(self, path: StrPath) -> int:
        self._live()
        fd = super().append(path)
        folder, name = self._find(path)
        if name not in folder.entries:
            folder.put(name, File())
        return self._remember(fd, path)

    def write(self, fd: int, data: bytes) -> None:
        self._live()
        super().write(fd, data)
        self.files[fd][1].data += data
        self._changed()

    def fsync(self, fd: int) -> None:
        self._live()
        path, node = self.files[fd]
        if not self._is_forgotten(path):
            node.durable = node.data
        self._changed()

    def fsync_dir(self, path: StrPath) -> None:
        self._live()
        if Path(path).is_relative_to(self.home) and not self._is_forgotten(path):
            folder = self.root if Path(path) == self.home else self._take(path)
            assert isinstance(folder, Folder)
            folder.sync()
        self._changed()

    def close(self, fd: int) -> None:
        super().close(fd)
        self.files.pop(fd, None)

    def link(self, source: StrPath, target: StrPath) -> None:
        self._live()
        super().link(source, target)
        self._put(target, self._take(source))

    def rename(self, source: StrPath, target: StrPath) -> None:
        self._live()
        super().rename(source, target)
        folder, name = self._find(source)
        node = folder.entries[name]
        folder.put(name, None)
        self._put(target, node)

    def unlink(self, path: StrPath) -> None:
        self._live()
        super().unlink(path)
        self._put(path, None)

    def mkdir(self, path: StrPath) -> None:
        self._live()
        super().mkdir(path)
        self._put(path, Folder())

    def rmdir(self, path: StrPath) -> None:
        self._live()
        super().rmdir(path)
        self._put(path, None)

    def rot(self, path: StrPath) -> None:
        """Change a file's first byte behind the registry's back, and durably."""
        node = self._take(path)
        assert isinstance(node, File)
        node.data = node.durable = bytes([node.data[0] ^ 1]) + node.data[1:]
        Path(path).chmod(0o644)
        Path(path).write_bytes(node.data)

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


def _kind(place: Path) -> str:
    """Return what kind of place that is: refs/support/v is refs/*/v, blobs/sha256/ab blobs/*/*."""
    first, *rest = place.parts or ("home",)
    return "/".join([first, *(part if part in ("v", "alias") else "*" for part in rest)])
