"""Take files out of a stranger's folder: regular ones, of known names, within limits."""

import json
import shutil
import struct
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.architecture import TensorInfo
from adapterhub_lite.errors import BaseModelError

MIB: Final = 2**20
MAX_HEADER: Final = 4 * MIB
"""A safetensors header of more than that would take seconds and a gigabyte to parse."""
MAX_TENSORS: Final = 20_000
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
    pipe) or larger than ``limit`` bytes.
    """
    real = (source / name).resolve()
    if not real.is_relative_to(source.resolve()):
        raise BaseModelError(
            f"{name} of {source} is a link that leads out of the folder",
            ref=str(source),
            hint=f"if you trust it, copy the folder with its links resolved: cp -rL {source} COPY",
        )
    if not real.is_file():
        raise BaseModelError(f"{name} of {source} is no regular file", ref=str(source))
    if real.stat().st_size > limit:
        raise BaseModelError(
            f"{name} of {source} takes more than {limit // MIB} MiB", ref=str(source)
        )
    target = destination / name
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(real, target)


def check_header(file: Path, ref: str) -> dict[str, TensorInfo]:
    """Return the tensors of a safetensors file; raises BaseModelError before any library parses it.

    The header is short and names each tensor once, with a known dtype, no empty dimension, and as
    many bytes within the file as its shape takes.
    """
    try:
        return _check_header(file)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise BaseModelError(
            f"{file.name} of {ref} has no valid header: {error}",
            ref=ref,
            hint="save it again with safetensors",
        ) from error


def _check_header(file: Path) -> dict[str, TensorInfo]:
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > MAX_HEADER:
            raise ValueError(f"it would take {length} bytes")
        header = json.loads(stream.read(length), object_pairs_hook=_each_once)
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise ValueError(f"it names {len(header)} tensors")
    room = file.stat().st_size - 8 - length
    return {name: _tensor(name, entry, room) for name, entry in header.items()}


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def _tensor(name: str, entry: Mapping[str, Any], room: int) -> TensorInfo:
    shape = tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if not all(type(size) is int and size > 0 for size in shape):
        raise ValueError(f"{name!r} has the shape {list(shape)}")
    if entry["dtype"] not in BYTES:
        raise ValueError(f"{name!r} has the dtype {entry['dtype']!r}")
    if not 0 <= begin <= end <= room or end - begin != prod(shape) * BYTES[entry["dtype"]]:
        raise ValueError(f"{name!r} has other bytes than its shape")
    return TensorInfo(entry["dtype"], shape)
