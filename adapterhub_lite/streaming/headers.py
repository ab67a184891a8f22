"""Where every tensor of a model folder lies, from the headers of its safetensors files alone."""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.architecture import MALFORMED, plain_shape, weight_files
from adapterhub_lite.errors import BaseModelError

ITEM_BYTES: Final[Mapping[str, int]] = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U64": 8,
    "U32": 4,
    "U16": 2,
    "U8": 1,
    "BOOL": 1,
}
"""A dtype as safetensors writes it → the bytes of one number."""
FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})
MAX_HEADER_BYTES: Final = 100_000_000


@dataclass(frozen=True, slots=True)
class TensorShape:
    """A tensor without its numbers: dtype as safetensors writes it, and shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes they take."""
        return self.size * ITEM_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class StoredTensor(TensorShape):
    """A tensor in a file: ``start`` is the byte, from the file's beginning, where it begins."""

    file: Path
    start: int


def read_model_headers(folder: Path, ref: str) -> dict[str, StoredTensor]:
    """Find every tensor of a model folder, in one file or in shards.

    Raises BaseModelError for a file that is missing, truncated or malformed, for a tensor that two
    shards hold, and for one that the index names and its shard lacks.
    """
    found: dict[str, StoredTensor] = {}
    for file in weight_files(folder, ref):
        here = read_file_header(file, ref)
        if twice := sorted(found.keys() & here):
            raise BaseModelError(f"{ref!r} holds {twice[0]!r} in two files", ref=ref)
        found |= here
    _check_index(folder, ref, found)
    return found


def read_file_header(file: Path, ref: str) -> dict[str, StoredTensor]:
    """Find every tensor of one safetensors file; raises BaseModelError when it is malformed."""
    try:
        return _read_header(file)
    except (OSError, struct.error, *MALFORMED) as error:
        raise BaseModelError(
            f"{file.name} of {ref!r} is no valid safetensors file: {error}",
            ref=ref,
            hint="it may be truncated: download or save the model again",
        ) from error


def _read_header(file: Path) -> dict[str, StoredTensor]:
    total = file.stat().st_size
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > min(MAX_HEADER_BYTES, total - 8):
            raise ValueError(f"its header would take {length} bytes")
        header: dict[str, Any] = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    end = 8 + length
    found = {name: _entry(file, name, said, end, total) for name, said in header.items()}
    for name, tensor in sorted(found.items(), key=lambda item: (item[1].start, item[1].nbytes)):
        if tensor.start != end:
            raise ValueError(f"{name!r} does not begin where the tensor before it ends")
        end += tensor.nbytes
    if end != total:
        raise ValueError(f"it has {total} bytes, and its header speaks of {end}")
    return found


def _entry(file: Path, name: str, said: Mapping[str, Any], data: int, total: int) -> StoredTensor:
    start, stop = said["data_offsets"]
    if not (type(start) is int and type(stop) is int):
        raise ValueError(f"{name!r} has a place that is no whole number")
    shape = plain_shape(said["shape"], total)
    if said["dtype"] not in ITEM_BYTES:
        raise ValueError(f"{name!r} has the unknown type {said['dtype']!r}")
    tensor = StoredTensor(said["dtype"], shape, file, data + start)
    if start < 0 or stop - start != tensor.nbytes:
        raise ValueError(f"{name!r} takes {stop - start} bytes, and needs {tensor.nbytes}")
    return tensor


def _check_index(folder: Path, ref: str, found: Mapping[str, StoredTensor]) -> None:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return
    for name, shard in json.loads(index.read_text(encoding="utf-8"))["weight_map"].items():
        if name not in found or found[name].file.name != Path(shard).name:
            raise BaseModelError(
                f"the index of {ref!r} places {name!r} in {shard}, which has no such tensor",
                ref=ref,
                hint="download or save the model again",
            )
