"""Trying many inputs in a process that may not write elsewhere, nor take much time or memory.

What an attempt may do: accept its input and find it valid by an oracle of its own, or refuse it
with an error of ours. Anything else is a failure, and the input that led to it is kept.
"""

import json
import mmap
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterhub_lite.cli.common import describe_error
from adapterhub_lite.errors import AdapterHubError
from tests.stress.workers import fork

SECONDS = 2.0
"""Processor time for one input; the system ends a process that takes more."""
ROOM = 256 * 2**20
"""Memory beside what is used once the first example was tried."""
RUNS_CODE = {
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "ctypes.dlopen"),
    *("pickle.find_class", "socket.connect", "socket.bind"),
}
WRITES = {
    **dict.fromkeys(("os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.chown", "os.utime"), 1),
    **dict.fromkeys(("os.truncate", "shutil.rmtree"), 1),
    **dict.fromkeys(("os.rename", "os.link", "os.symlink"), 2),
}
"""Events that change files → how many of their arguments are paths."""

Attempt = Callable[[bytes, Path], None]


@dataclass(frozen=True)
class Target:
    """Something that reads what a stranger sends.

    ``make`` returns an input; ``prepare`` makes in a folder what an attempt needs, which raises an
    AdapterHubError for an input that is refused, and whatever else where something is wrong.
    """

    name: str
    make: Callable[[random.Random], bytes]
    prepare: Callable[[Path], Attempt]
    examples: tuple[bytes, ...]

    def input(self, number: int) -> bytes:
        """Return the input of that number, the same each time; the first are the examples."""
        if number < len(self.examples):
            return self.examples[number]
        return self.make(random.Random(f"{self.name} {number}"))


class Escape(BaseException):
    """Something was written elsewhere, or run."""


@dataclass(frozen=True)
class Outcome:
    """How many inputs were accepted and refused, and the slowest's processor time."""

    accepted: int
    refused: int
    slowest: float


def fuzz(target: Target, count: int, place: Path, first: int = 0) -> Outcome:
    """Try ``count`` inputs from the ``first`` on; AssertionError with the input that fails."""
    (place / "work").mkdir(parents=True)
    at = mmap.mmap(-1, 8)
    child = fork(lambda: _try_all(target, range(first, first + count), place, at), place / "error")
    status = os.waitpid(child, 0)[1]
    if status:
        number = int.from_bytes(at[:8], "little")
        told = "".join(path.read_text() for path in place.glob("error.*"))
        ended = f"ended by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else told
        raise AssertionError(_report(target, number, place, ended))
    return Outcome(**json.loads((place / "outcome").read_text()))


def _report(target: Target, number: int, place: Path, ended: str) -> str:
    data = target.input(number)
    kept = place / f"{target.name}-{number}"
    kept.write_bytes(data)
    return f"{target.name} {number} ({len(data)} bytes, in {kept}): {data[:1000]!r}\n{ended}"


def _try_all(target: Target, numbers: range, place: Path, at: mmap.mmap) -> None:
    work, tempfile.tempdir = place / "work", str(place / "temporary")
    (place / "temporary").mkdir()
    (place / "elsewhere").mkdir()
    os.chdir(place / "elsewhere")
    sys.dont_write_bytecode = True
    attempt = target.prepare(work)
    attempt(target.examples[0], work)  # imports what is imported when it is used
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    sys.addaudithook(_watch(place))
    accepted, slowest = 0, 0.0
    for number in numbers:
        at[:8] = number.to_bytes(8, "little")
        data = target.input(number)
        began = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        accepted += _is_accepted(attempt, data, work)
        signal.setitimer(signal.ITIMER_PROF, 0)
        slowest = max(slowest, time.process_time() - began)
        left = [*os.scandir(tempfile.tempdir), *os.scandir(place / "elsewhere")]
        assert left == [], "something was left behind"
    told = {"accepted": accepted, "refused": len(numbers) - accepted, "slowest": slowest}
    (place / "outcome").write_text(json.dumps(told))
    shutil.rmtree(work)


def _is_accepted(attempt: Attempt, data: bytes, work: Path) -> bool:
    try:
        attempt(data, work)
    except AdapterHubError as error:
        line, hint, _ = describe_error(error)
        assert f"{line} {hint}".isprintable(), f"an error of several lines: {line!r}, {hint!r}"
        return False
    return True


def _watch(place: Path) -> Callable[[str, tuple[Any, ...]], None]:
    """Return a hook that ends an attempt when it writes outside of a folder, or runs something."""
    inside = place.resolve()

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in RUNS_CODE:
            raise Escape(f"{event} {args}")
        paths: tuple[Any, ...] = args[: WRITES.get(event, 0)]
        if event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            paths = args[:1]
        for path in paths:
            if isinstance(path, str | bytes | os.PathLike):
                folder = Path(os.fsdecode(path)).parent.resolve()
                if not folder.is_relative_to(inside):
                    raise Escape(f"{event} {path!r}")

    return hook
