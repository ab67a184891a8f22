"""A process that reads a stranger's file on stdin and can do no more than that.

It is started by :mod:`adapterhub_lite.isolation.run` with the file of a *worker*: a module of the
standard library alone that has ``convert(stream) -> (fields, body)``. To stdout goes one line of
JSON, the fields, and behind it the body; or a line that says ``refused``, and why. Around the
worker stand the limits of the kernel, a network namespace without a network, and an audit hook that
ends every attempt to open, import, connect or execute.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import sys
from collections.abc import Callable
from ctypes import CDLL
from typing import Any, BinaryIO

NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000

Convert = Callable[[BinaryIO], tuple[dict[str, Any], bytes]]


class Refused(Exception):  # noqa: N818  (an answer, not an error)
    """The file is not what is understood; the message says why."""


class Record:
    """What a pickled object becomes: its state, and nothing that could be called."""

    def __init__(self, *_: object) -> None:
        self.state: Any = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def get(self, key: str) -> Any:
        """Return an attribute of the pickled object, None when it has none."""
        return self.state.get(key) if isinstance(getattr(self, "state", None), dict) else None


def lock(memory: int, seconds: int, output: int) -> str:
    """Take away network, memory, time and files; return how the network was taken away."""
    isolated = CDLL(None).unshare(NEW_USER | NEW_NETWORK) == 0
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, output),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory),
    ):
        resource.setrlimit(limit, (value, value))

    def deny(event: str, _: tuple[Any, ...]) -> None:
        if event != "array.__new__":
            raise Refused(f"it attempted {event}")

    sys.addaudithook(deny)
    return "network namespace" if isolated else "sockets refused"


def answer(convert: Convert, stream: BinaryIO) -> tuple[dict[str, Any], bytes]:
    """Return the line and the bytes to write for a file; never raises on account of it."""
    try:
        fields, body = convert(stream)
        json.dumps(fields, allow_nan=False)
    except Refused as refused:
        return {"refused": str(refused)[:300]}, b""
    except MemoryError:
        return {"refused": "it asks for more memory than it can need"}, b""
    except Exception as error:
        return {"refused": f"it does not parse ({type(error).__name__})"}, b""
    return fields, body


def load(worker: str) -> Convert:
    """Return a worker's ``convert``; what it imports of this module is this very one."""
    sys.modules["adapterhub_lite.isolation.jail"] = sys.modules[__name__]
    spec = importlib.util.spec_from_file_location("worker", worker)
    assert spec, "a file of ours"
    assert spec.loader, "a file of ours"
    module = sys.modules["worker"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    convert: Convert = module.convert
    return convert


def main() -> None:
    """Convert stdin to stdout, by the worker and under the limits given as arguments."""
    worker, *amounts = sys.argv[1:]
    convert = load(worker)
    "".encode("utf-32-le"), "".encode("utf-32-be")  # codecs are imported while that is allowed
    memory, seconds, output = map(int, amounts)
    isolation = lock(memory, seconds, output)
    fields, body = answer(convert, sys.stdin.buffer)
    line = json.dumps({**fields, "isolation": isolation}).encode() + b"\n"
    sys.stdout.buffer.write(line + body)


if __name__ == "__main__":
    main()
