"""Finds the tensors of a file that ``torch.save`` wrote, as a process that can do no more.

It is a worker of :mod:`adapterhub_lite.isolation.jail`. A state dict is a small pickle, and beside
it the numbers as they are: so only names, dtypes, shapes and places are told, and no number is
read. torch does not run: each name that the pickle may use is answered with an inert record. Both
forms are read, the zip archive and, from before torch 1.6, one stream.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from dataclasses import dataclass
from typing import Any, BinaryIO

from adapterhub_lite.isolation.jail import Record, Refused

b"-".decode("cp437")  # what zipfile reads names by: imported while that is allowed

MAX_PICKLE = 256 * 2**20
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""How the old form begins."""
ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1,
    "BOOL": 1,
}  # fmt: skip


class StorageKind(Record):
    """The class of a storage, which says its dtype."""

    dtype = ""


class Entries(dict[Any, Any]):
    """An ordered dict; what torch notes beside its items is not looked at."""

    def __setstate__(self, state: Any) -> None:
        pass


class Tensor(Record):
    """A call that rebuilds a tensor of a storage."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__()
        self.arguments = arguments


class Parameter(Record):
    """A call that makes a parameter of a tensor."""

    def __init__(self, tensor: Any, *_: Any) -> None:
        super().__init__()
        self.tensor = tensor


def _kind(dtype: str) -> type[StorageKind]:
    return type(dtype, (StorageKind,), {"dtype": dtype})


RECORDS: dict[tuple[str, str], type] = {
    ("collections", "OrderedDict"): Entries,
    ("torch._utils", "_rebuild_tensor"): Tensor,
    ("torch._utils", "_rebuild_tensor_v2"): Tensor,
    ("torch._utils", "_rebuild_parameter"): Parameter,
    ("torch", "DoubleStorage"): _kind("F64"),
    ("torch", "FloatStorage"): _kind("F32"),
    ("torch", "HalfStorage"): _kind("F16"),
    ("torch", "BFloat16Storage"): _kind("BF16"),
    ("torch", "LongStorage"): _kind("I64"),
    ("torch", "IntStorage"): _kind("I32"),
    ("torch", "ShortStorage"): _kind("I16"),
    ("torch", "CharStorage"): _kind("I8"),
    ("torch", "ByteStorage"): _kind("U8"),
    ("torch", "BoolStorage"): _kind("BOOL"),
}
"""Every name that a state dict may use, and the record that stands in for it."""


@dataclass
class Storage:
    """Numbers of one dtype; ``start`` is the byte where they begin, once it is known."""

    key: str
    dtype: str
    items: int
    start: int = -1


class StateUnpickler(pickle._Unpickler):
    """Reads a pickle whose every global is one of :data:`RECORDS`.

    It is the one in Python, not in C: that one reads ahead, and in the old form numbers follow.
    """

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str, /) -> type:
        """Return the record for a name; Refused for every other name."""
        found = RECORDS.get((module, name))
        if found is None:
            raise Refused(f"it names {module}.{name}, and may hold a state dict of tensors only")
        return found

    def persistent_load(self, pid: Any) -> Storage:
        """Return the storage that the pickle refers to: ("storage", class, key, device, items)."""
        _, kind, key, _, items, *more = pid
        if any(part is not None for part in more):
            raise Refused("it is of a form of torch from before 2018, a view of numbers: save anew")
        if not isinstance(key, str) or not isinstance(items, int) or not kind.dtype:
            raise Refused("it has a storage that makes no sense")
        found = self.storages.setdefault(key, Storage(key, kind.dtype, items))
        if found.dtype != kind.dtype:
            raise Refused("it reads the same numbers as two types")
        return found


def convert(stream: BinaryIO) -> tuple[dict[str, Any], bytes]:
    """Return the tensors of a state dict; raises Refused for anything else."""
    is_zip = stream.read(4) == b"PK\x03\x04"
    stream.seek(0)
    state = read_archive(stream) if is_zip else read_stream(stream)
    if not isinstance(state, dict):
        raise Refused("it holds no state dict")
    return {"tensors": [_described(name, value) for name, value in state.items()]}, b""


def _described(name: Any, value: Any) -> list[Any]:
    """Return a tensor's name, dtype, first byte, stored items, offset, shape and strides."""
    tensor = value.tensor if isinstance(value, Parameter) else value
    if not isinstance(name, str) or not isinstance(tensor, Tensor):
        raise Refused(f"{str(name)[:80]!r} is no tensor: it may hold a flat state dict only")
    storage, offset, shape, strides, *_ = tensor.arguments
    if not isinstance(storage, Storage):
        raise Refused(f"{name[:80]!r} has no numbers")
    place = [storage.dtype, storage.start, storage.items]
    return [name, *place, offset, list(shape), list(strides)]


def read_archive(stream: BinaryIO) -> Any:
    """Read a zip archive: ``data.pkl``, and a member for each storage, uncompressed."""
    archive = zipfile.ZipFile(stream)
    members = {member.filename.partition("/")[2]: member for member in archive.infolist()}
    order = members.get("byteorder")
    if order is not None and archive.read(order) != b"little":
        raise Refused("its numbers are in the other order of bytes")
    index = members.get("data.pkl")
    if index is None or index.compress_type != zipfile.ZIP_STORED or index.file_size > MAX_PICKLE:
        raise Refused("it is no archive that torch wrote")
    unpickler = StateUnpickler(io.BytesIO(archive.read(index)))
    state = unpickler.load()
    for storage in unpickler.storages.values():
        member = members.get(f"data/{storage.key}")
        if member is None or member.compress_type != zipfile.ZIP_STORED:
            raise Refused("it lacks numbers that it refers to")
        if member.file_size < storage.items * ITEM_BYTES[storage.dtype]:
            raise Refused("it holds fewer numbers than it refers to")
        storage.start = _first_byte(stream, member)
    return state


def _first_byte(stream: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Return where a member's content begins: behind its header, whose lengths it tells itself."""
    stream.seek(member.header_offset + 26)
    name, extra = struct.unpack("<HH", stream.read(4))
    return int(member.header_offset + 30 + name + extra)


def read_stream(stream: BinaryIO) -> Any:
    """Read the old form: three pickles about the file, the state dict, keys; then the storages."""
    if StateUnpickler(stream).load() != MAGIC or StateUnpickler(stream).load() != PROTOCOL:
        raise Refused("torch did not write it")
    if StateUnpickler(stream).load().get("little_endian") is not True:
        raise Refused("its numbers are in the other order of bytes")
    unpickler = StateUnpickler(stream)
    state = unpickler.load()
    for key in StateUnpickler(stream).load():
        storage = unpickler.storages[key]
        (items,) = struct.unpack("<q", stream.read(8))
        if items < storage.items:
            raise Refused("it holds fewer numbers than it refers to")
        storage.start = stream.tell()
        stream.seek(items * ITEM_BYTES[storage.dtype], io.SEEK_CUR)
    return state
