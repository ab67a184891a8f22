"""Convert a pickled head: in a process of its own, under limits; here it is never unpickled.

:mod:`adapterhub_lite_setfit.convert_worker` says what that process can and cannot do.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapterhub_lite.errors import BaseModelError
from adapterhub_lite_setfit import convert_worker

MAX_CLASSES = 10_000
MAX_FEATURES = 65_536
HINT = "nothing in it was run; ahl fewshot trains a head anew, from the same rows"

Kind = Literal["LogisticRegression", "OneVsRestClassifier", "MultiOutputClassifier"]
Name = Annotated[str, Field(min_length=1, max_length=1000)]
Rows = Annotated[int, Field(ge=1, le=MAX_CLASSES)]
Width = Annotated[int, Field(ge=1, le=MAX_FEATURES)]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a conversion may use; a head of 1,000 classes takes a hundredth of it."""

    memory_bytes: int = 512 * 2**20
    cpu_seconds: int = 20
    wall_seconds: float = 60
    file_bytes: int = 64 * 2**20


DEFAULT_LIMITS = Limits()


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    isolation: Literal["network namespace", "sockets refused"]


class _Refusal(_Answer):
    refused: str = Field(max_length=300)


class _Fields(_Answer):
    kind: Kind
    classes: Annotated[list[int | Name], Field(max_length=MAX_CLASSES)]
    shape: Annotated[tuple[Rows, Width], Field(strict=False)]
    sklearn: str = Field(pattern=r"^[0-9A-Za-z.+]{1,40}$")


@dataclass(frozen=True, slots=True)
class RawHead:
    """A head's numbers: ``classes`` as it was trained on them, none when it is multi-label.

    ``sklearn`` is the version that wrote it; ``isolation`` says how the conversion was kept from
    the network: by a namespace without one or, where the kernel allows none, by refusing sockets.
    """

    multi_label: bool
    classes: tuple[int | str, ...]
    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    sklearn: str
    isolation: str


def convert_pickle(file: Path, limits: Limits = DEFAULT_LIMITS) -> RawHead:
    """Return the numbers of a pickled head.

    Raises BaseModelError when it holds anything but a scikit-learn logistic head, or reaches a
    limit.
    """
    if file.stat().st_size > limits.file_bytes:
        raise _refused(file, f"it takes more than {limits.file_bytes >> 20} MiB")
    with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryFile() as output:
        _run(file, limits, Path(empty), output)
        output.seek(0)
        line, _, body = output.read().partition(b"\n")
    return _parse(file, line, body)


def _run(file: Path, limits: Limits, folder: Path, output: BinaryIO) -> None:
    """Run the worker in an empty folder, with no environment to speak of."""
    amounts = (limits.memory_bytes, limits.cpu_seconds, limits.file_bytes)
    # -I -S: neither the user's nor the environment's packages are on its path.
    command = [sys.executable, "-I", "-S", "-B", convert_worker.__file__, *map(str, amounts)]
    with file.open("rb") as pickled:
        try:
            done = subprocess.run(  # noqa: S603  (our own file, with numbers as arguments)
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
            raise _refused(file, f"it took more than {limits.wall_seconds:g} s") from None
    if done.returncode != 0:
        raise _refused(
            file,
            f"its conversion was stopped at a limit ({limits.cpu_seconds} s of CPU, "
            f"{limits.memory_bytes >> 20} MiB)",
        )


def _parse(file: Path, line: bytes, body: bytes) -> RawHead:
    """Read the worker's answer as strictly as a stranger's: it may have been taken over."""
    try:
        if b'"refused"' in line[:12]:
            raise _refused(file, _Refusal.model_validate_json(line).refused)
        fields = _Fields.model_validate_json(line)
    except ValidationError:
        raise _refused(file, "its classes or sizes are not those of a classifier") from None
    rows, width = fields.shape
    multi_label = fields.kind != "LogisticRegression"
    expected = rows if multi_label else (1 if len(fields.classes) == 2 else len(fields.classes))
    values = np.frombuffer(body, dtype=np.float64) if len(body) % 8 == 0 else np.empty(0)
    if rows != expected or len(values) != rows * (width + 1):
        raise _refused(file, "its classes and weights do not fit together")
    coef, intercept = values[: rows * width].reshape(rows, width), values[rows * width :]
    if not _finite(coef, intercept, multi_label):
        raise _refused(file, "it has weights that are not finite")
    classes = tuple(fields.classes)
    return RawHead(multi_label, classes, coef, intercept, fields.sklearn, fields.isolation)


def _finite(coef: NDArray[Any], intercept: NDArray[Any], multi_label: bool) -> bool:
    """Allow an infinite intercept only as a label's constant: no weights, one of several labels."""
    constant = np.isinf(intercept) & (coef == 0).all(axis=1) & multi_label
    return bool(np.isfinite(coef).all() and (np.isfinite(intercept) | constant).all())


def _refused(file: Path, reason: str) -> BaseModelError:
    folder = str(file.parent)
    shown = "".join(c if c.isprintable() else "?" for c in reason)
    return BaseModelError(f"{file.name} is refused: {shown}", ref=folder, hint=HINT)
