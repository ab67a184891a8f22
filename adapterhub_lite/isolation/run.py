"""Starts a worker on a file, and reads its answer as strictly as a stranger's.

:mod:`adapterhub_lite.isolation.jail` says what that process can and cannot do.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapterhub_lite.isolation import jail


@dataclass(frozen=True, slots=True)
class Limits:
    """What a conversion may use, and how much it may write."""

    memory_bytes: int = 512 * 2**20
    cpu_seconds: int = 20
    wall_seconds: float = 60
    output_bytes: int = 64 * 2**20


DEFAULT_LIMITS = Limits()
"""A head of 1,000 classes, or the names of 10,000 tensors, take a tenth of it."""


class Answer(BaseModel):
    """The line that a worker writes: ``isolation`` says how it was kept from the network."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    isolation: Literal["network namespace", "sockets refused"]


class _Refusal(Answer):
    refused: str = Field(max_length=300)


Expected = TypeVar("Expected", bound=Answer)


class ConversionError(Exception):
    """A file was not converted; the message says why."""


def run_isolated(
    file: Path,
    worker: ModuleType,
    expected: type[Expected],
    limits: Limits,
    *,
    nonsense: str,
) -> tuple[Expected, bytes]:
    """Return what a worker says of a file, and the bytes behind that.

    Raises ConversionError when it refuses the file, reaches a limit, or says what is not
    ``expected``, of which ``nonsense`` is the message.
    """
    assert worker.__file__ is not None, "a module of ours, in a file"
    with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryFile() as output:
        _run(file, worker.__file__, limits, Path(empty), output)
        output.seek(0)
        line, _, body = output.read().partition(b"\n")
    return _parse(line, expected, nonsense), body


def _run(file: Path, worker: str, limits: Limits, folder: Path, output: BinaryIO) -> None:
    """Run the worker in an empty folder, with no environment to speak of."""
    amounts = (limits.memory_bytes, limits.cpu_seconds, limits.output_bytes)
    # -I -S: neither the user's nor the environment's packages are on its path.
    command = [sys.executable, "-I", "-S", "-B", str(jail.__file__), worker, *map(str, amounts)]
    with file.open("rb") as pickled:
        try:
            done = subprocess.run(  # noqa: S603  (our own files, with numbers as arguments)
                command,
                stdin=pickled,
                stdout=output,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env={"LC_ALL": "C.UTF-8"},
                timeout=limits.wall_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ConversionError(f"it took more than {limits.wall_seconds:g} s") from None
    if done.returncode != 0:
        raise ConversionError(
            f"its conversion was stopped at a limit ({limits.cpu_seconds} s of CPU, "
            f"{limits.memory_bytes >> 20} MiB)"
        )


def _parse(line: bytes, expected: type[Expected], nonsense: str) -> Expected:
    try:
        return expected.model_validate_json(line)
    except ValidationError:
        pass
    try:
        reason = _Refusal.model_validate_json(line).refused
    except ValidationError:
        raise ConversionError(nonsense) from None
    raise ConversionError("".join(c if c.isprintable() else "?" for c in reason))
