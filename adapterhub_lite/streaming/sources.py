"""Where tensors come from: slices of them, in 32-bit floating point, without loading the rest."""

import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import torch

from adapterhub_lite.errors import MergeError
from adapterhub_lite.streaming.headers import FLOATS, StoredTensor, TensorShape, read_model_headers

TORCH_TYPES: Final[Mapping[str, torch.dtype]] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
TYPE_NAMES: Final = {dtype: name for name, dtype in TORCH_TYPES.items()}


class Source(Protocol):
    """A model that gives its tensors by slices.

    ``label`` is what the user calls it, for messages; ``tensors`` are the shapes of all it has.
    """

    @property
    def label(self) -> str: ...

    @property
    def tensors(self) -> Mapping[str, TensorShape]: ...

    def read(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return the numbers ``start:stop`` of a flattened tensor, as a new float32 tensor."""

    def raw(self, name: str) -> torch.Tensor:
        """Return a whole tensor, in its shape, as it is stored."""


class UpdateSource(Source, Protocol):
    """An adapter on a base: it also tells what it adds, without the base's rounding."""

    @property
    def base(self) -> Source: ...

    def rests_on(self, name: str, base: Source, base_name: str) -> bool:
        """Say whether a tensor is ``base_name`` of ``base``, wherever it is read, with an update.

        Only then does :meth:`update` tell the difference from it.
        """

    def update(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Return what is added to ``start:stop``, or None where the tensor is the base's own."""


class FolderSource:
    """A model folder's safetensors, mapped: what is read stays in the page cache, not in memory."""

    def __init__(self, folder: Path, label: str) -> None:
        self.folder = folder
        self.label = label
        self.tensors: Mapping[str, StoredTensor] = read_model_headers(folder, label)
        self._maps = {file: map_file(file) for file in {t.file for t in self.tensors.values()}}

    def read(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return the numbers ``start:stop`` of a flattened tensor, as a new float32 tensor."""
        return self._view(name, start, stop).to(torch.float32, copy=True)

    def raw(self, name: str) -> torch.Tensor:
        """Return a whole tensor, in its shape, as it is stored: a view of the file."""
        tensor = self.tensors[name]
        return self._view(name, 0, tensor.size).view(tensor.shape)

    def _view(self, name: str, start: int, stop: int) -> torch.Tensor:
        return view(self._maps[self.tensors[name].file], self.tensors[name], start, stop)


class StateSource:
    """Tensors that are in memory already."""

    def __init__(self, state: Mapping[str, torch.Tensor], label: str) -> None:
        self.label = label
        self._state = state
        self.tensors: Mapping[str, TensorShape] = {
            name: TensorShape(TYPE_NAMES[value.dtype], tuple(value.shape))
            for name, value in state.items()
        }

    def read(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return the numbers ``start:stop`` of a flattened tensor, as a new float32 tensor."""
        return self._state[name].reshape(-1)[start:stop].to(torch.float32, copy=True)

    def raw(self, name: str) -> torch.Tensor:
        """Return a whole tensor, in its shape."""
        return self._state[name]


def map_file(file: Path) -> mmap.mmap:
    """Map a file; copy-on-write, since torch takes no memory that cannot be written."""
    with file.open("rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)


def view(mapped: mmap.mmap, tensor: StoredTensor, start: int, stop: int) -> torch.Tensor:
    """Return a flat slice of a mapped tensor, as it is stored; it may not be written to."""
    dtype = TORCH_TYPES[tensor.dtype]
    if stop <= start:
        return torch.empty(0, dtype=dtype)
    offset = tensor.start + start * dtype.itemsize
    return torch.frombuffer(mapped, dtype=dtype, count=stop - start, offset=offset)


def read_finite(source: Source, name: str, start: int, stop: int) -> torch.Tensor:
    """Read a slice; raises MergeError when it has a NaN or an infinity."""
    if source.tensors[name].dtype not in FLOATS:
        raise MergeError(
            f"{name!r} of {source.label} holds {source.tensors[name].dtype}, no floats to merge",
            tensor=name,
        )
    values = source.read(name, start, stop)
    refuse_non_finite(values, name, source.label)
    return values


def refuse_non_finite(values: torch.Tensor, name: str, label: str) -> None:
    """Raise MergeError when a number is NaN or infinite."""
    # One sum is the cheapest test there is; finite numbers can overflow it, hence the second look.
    if math.isfinite(values.sum().item()) or bool(values.isfinite().all()):
        return
    raise MergeError(
        f"{name!r} of {label} has a number that is NaN or infinite",
        tensor=name,
        hint="such a model is broken: merge an earlier checkpoint",
    )
