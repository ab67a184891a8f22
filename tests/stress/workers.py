"""Processes that use a registry at once: forked, so that starting one costs nothing."""

import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from adapterhub_lite_registry import FileIO
from adapterhub_lite_registry.io import StrPath

POINTS = {
    "publish, its bytes in tmp": ("create", "tmp/.*"),
    "publish, a blob in place": ("link", "blobs/.*"),
    "publish, the manifest in place": ("link", "manifests/.*"),
    "publish, committed but not synced": ("link", "refs/.*/v/.*"),
    "alias, logged": ("write", "journal/.*"),
    "alias, moved or removed but not synced": ("rename|unlink", "refs/.*/alias/.*"),
    "remove, a tombstone but not synced": ("rename", "refs/.*/v/.*"),
    "gc, two names": ("link", "quarantine/.*"),
    "gc, one name": ("unlink", "blobs/.*|manifests/.*"),
    "gc, quarantine emptied in part": ("unlink", "quarantine/.*"),
    "publish, damaged bytes replaced": ("rename", "blobs/.*"),
    "repair, the loss marked": ("rename", "damaged/.*"),
    "anywhere": (".*", ".*"),
}
"""Crash points by name: the process ends right after that call on that path."""


class MortalIO(FileIO):
    """Kills its own process right after a call at a crash point, the ``nth`` time."""

    def __init__(self, home: Path, point: str, nth: int) -> None:
        self._home = home
        calls, paths = POINTS[point]
        self._calls, self._paths = re.compile(calls), re.compile(paths)
        self._left = nth
        self._open: dict[int, StrPath] = {}

    def _did(self, call: str, path: StrPath) -> None:
        place = os.fspath(path).removeprefix(f"{self._home}/")
        if self._calls.fullmatch(call) and self._paths.fullmatch(place):
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def create(self, path: StrPath, mode: int = 0o644) -> int:
        fd = self._open_as(super().create(path, mode), path)
        self._did("create", path)
        return fd

    def append(self, path: StrPath) -> int:
        return self._open_as(super().append(path), path)

    def _open_as(self, fd: int, path: StrPath) -> int:
        self._open[fd] = path
        return fd

    def write(self, fd: int, data: bytes) -> None:
        super().write(fd, data)
        self._did("write", self._open[fd])

    def link(self, source: StrPath, target: StrPath) -> None:
        super().link(source, target)
        self._did("link", target)

    def rename(self, source: StrPath, target: StrPath) -> None:
        super().rename(source, target)
        self._did("rename", target)

    def unlink(self, path: StrPath) -> None:
        super().unlink(path)
        self._did("unlink", path)


def fork(work: Callable[[], None], errors: Path) -> int:
    """Run ``work`` in a process of its own and return its id; what it raises goes to a file."""
    child = os.fork()
    if child:
        return child
    code = 0
    try:
        work()
    except BaseException:
        errors.with_suffix(f".{os.getpid()}").write_text(traceback.format_exc())
        code = 1
    finally:
        sys.stdout.flush()
        os._exit(code)


def say(log: Path, line: str) -> None:
    """Acknowledge something, in one write."""
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{line}\n".encode())
    os.close(fd)
