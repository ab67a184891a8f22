"""Take files out of a stranger's folder: regular ones, of known names, within limits."""

import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO, Final

from adapterhub_lite.architecture import TensorInfo, plain_shape
from adapterhub_lite.errors import BaseModelError

MIB: Final = 2**20
MAX_HEADER: Final = 4 * MIB
"""A safetensors header of more than that would take seconds and a gigabyte to parse."""
MAX_TENSORS: Final = 20_000
KEYS: Final = {"dtype", "shape", "data_offsets"}
BYTES: Final[Mapping[str, int]] = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}
"""The dtypes that are read, in safetensors' spelling, and the bytes of a number."""


def exists(path: Path) -> bool:
    """Say whether something has that name, a broken link too."""
    return path.exists() or path.is_symlink()


def copy_file(source: Path, name: str, limit: int, destination: Path) -> None:
    """Copy the file ``name`` of the folder ``source`` into ``destination``.

    Raises BaseModelError when it is a link that leaves the folder, no regular file (a device, a
    pipe) or larger than ``limit`` bytes. Weights are better copied by ``weights.copy_weights``.
    """
    from adapterhub_lite_registry.io import at_most

    target = destination / name
    with opened(source, name, limit) as stream:
        target.parent.mkdir(exist_ok=True)
        with target.open("wb") as copy:  # not more, though the file may grow
            copy.writelines(at_most(limit, iter(lambda: stream.read(MIB), b"")))


@contextmanager
def opened(source: Path, name: str, limit: int) -> Iterator[BinaryIO]:
    """Open the file ``name`` of the folder ``source`` to read it; raises as :func:`copy_file`.

    What was opened is what is judged: nobody can put a device in its place in between.
    """
    real = require_inside(source, name)
    try:
        fd = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        reason = str(error.strerror).lower()
        raise BaseModelError(f"{name} of {source}: {reason}", ref=str(source)) from error
    try:
        found = os.fstat(fd)
        if not S_ISREG(found.st_mode):
            raise BaseModelError(f"{name} of {source} is no regular file", ref=str(source))
        if found.st_size > limit:
            raise BaseModelError(
                f"{name} of {source} takes more than {limit // MIB} MiB", ref=str(source)
            )
        with open(fd, "rb", closefd=False) as stream:
            yield stream
    finally:
        os.close(fd)


def require_inside(source: Path, name: str) -> Path:
    """Return the file ``name`` of a folder with its links resolved; raises BaseModelError outside.

    A link within the folder is followed, one that leaves it is not.
    """
    real = (source / name).resolve()
    if not real.is_relative_to(source.resolve()):
        raise BaseModelError(
            f"{name} of {source} is a link that leads out of the folder",
            ref=str(source),
            hint=f"if you trust it, copy the folder with its links resolved: cp -rL {source} COPY",
        )
    return real


def check_header(file: Path, ref: str) -> dict[str, TensorInfo]:
    """Return the tensors of a safetensors file; raises BaseModelError before any library parses it.

    The header is short and names each tensor once, with a known dtype, no empty dimension, and the
    bytes that its shape takes; all of them together are the file, without gaps. What is accepted
    the library loads.
    """
    with file.open("rb") as stream:
        return check_header_of(stream, file.stat().st_size, file.name, ref)


def check_header_of(stream: BinaryIO, size: int, name: str, ref: str) -> dict[str, TensorInfo]:
    """Judge as :func:`check_header` does a file called ``name``, of ``size`` bytes, by its head."""
    try:
        return _check_header(stream, size)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise BaseModelError(
            f"{name} of {ref} has no valid header: {error}",
            ref=ref,
            hint="save it again with safetensors",
        ) from error


def _check_header(stream: BinaryIO, size: int) -> dict[str, TensorInfo]:
    (length,) = struct.unpack("<Q", stream.read(8))
    if length > MAX_HEADER:
        raise ValueError(f"it would take {length} bytes")
    text = stream.read(length).decode("utf-8")
    header = json.loads(text, object_pairs_hook=_each_once, parse_int=_natural)
    told = header.pop("__metadata__", {})
    if not (isinstance(told, dict) and all(isinstance(value, str) for value in told.values())):
        raise ValueError("its metadata are not texts")
    if len(header) > MAX_TENSORS:
        raise ValueError(f"it names {len(header)} tensors")
    room = size - 8 - length
    tensors = {name: _tensor(name, entry, room) for name, entry in header.items()}
    for name in (*told, *told.values(), *tensors):
        name.encode()  # half a surrogate pair is no text
    places = sorted(tuple(entry["data_offsets"]) for entry in header.values())
    ends = [0, *(end for _, end in places)]
    if [*(begin for begin, _ in places), room] != ends:
        raise ValueError("its tensors share bytes, or leave some out")
    return tensors


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def _natural(digits: str) -> int:
    if digits.startswith("-"):
        raise ValueError(f"{digits} is below zero")
    return int(digits)


def _tensor(name: str, entry: Mapping[str, Any], room: int) -> TensorInfo:
    if entry.keys() != KEYS:
        raise ValueError(f"{name!r} has other keys than {', '.join(sorted(KEYS))}")
    shape = plain_shape(entry["shape"], room)
    begin, end = entry["data_offsets"]
    if not (type(begin) is int and type(end) is int):
        raise ValueError(f"{name!r} has a place that is no whole number")
    if 0 in shape:
        raise ValueError(f"{name!r} has an empty dimension")
    if entry["dtype"] not in BYTES:
        raise ValueError(f"{name!r} has the dtype {entry['dtype']!r}")
    if not 0 <= begin <= end <= room or end - begin != prod(shape) * BYTES[entry["dtype"]]:
        raise ValueError(f"{name!r} has other bytes than its shape")
    return TensorInfo(entry["dtype"], shape)
