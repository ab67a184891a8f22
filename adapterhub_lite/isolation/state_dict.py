"""Where the tensors of a pickled state dict lie in its file: told by a process of its own."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from adapterhub_lite.isolation import torch_worker
from adapterhub_lite.isolation.run import (
    DEFAULT_LIMITS,
    Answer,
    ConversionError,
    Limits,
    run_isolated,
)
from adapterhub_lite.streaming.headers import ITEM_BYTES, TensorShape

DTypes = Literal["F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"]
Count = Annotated[int, Field(ge=0, lt=2**62)]
Sizes = Annotated[tuple[Count, ...], Field(strict=False, max_length=16)]
Name = Annotated[str, Field(min_length=1, max_length=1000)]
Entry = tuple[Name, DTypes, Count, Count, Count, Sizes, Sizes]


class _Table(Answer):
    tensors: list[Annotated[Entry, Field(strict=False)]]


@dataclass(frozen=True, slots=True)
class PickledTensor(TensorShape):
    """A tensor in a file that torch wrote.

    Its numbers are among the ``items`` that begin at the byte ``start``: the first is number
    ``offset``, and ``strides`` are between neighbours, in numbers. Several may share theirs.
    """

    start: int
    items: int
    offset: int
    strides: tuple[int, ...]


def read_state_dict(file: Path, limits: Limits = DEFAULT_LIMITS) -> dict[str, PickledTensor]:
    """Find the tensors of a file that ``torch.save`` wrote; raises ConversionError.

    Nothing in it is run: see :mod:`adapterhub_lite.isolation.torch_worker`. A tensor lies within
    the file, and has no more numbers than are stored for it.
    """
    nonsense = "its names or sizes are not those of tensors"
    table, _ = run_isolated(file, torch_worker, _Table, limits, nonsense=nonsense)
    total = file.stat().st_size
    tensors = {entry[0]: _checked(entry, total) for entry in table.tensors}
    if len(tensors) < len(table.tensors):
        raise ConversionError("it has a name twice")
    return tensors


def _checked(entry: Entry, total: int) -> PickledTensor:
    name, dtype, start, items, offset, shape, strides = entry
    tensor = PickledTensor(dtype, shape, start, items, offset, strides)
    if start + items * ITEM_BYTES[dtype] > total:
        raise ConversionError(f"{name[:80]!r} lies outside the file: it is cut short")
    steps = [(size - 1) * step for size, step in zip(shape, strides, strict=False)]
    within = tensor.size == 0 or offset + sum(steps) < items
    if len(shape) != len(strides) or not within or math.prod(shape) > items:
        raise ConversionError(f"{name[:80]!r} has other numbers than its shape takes")
    return tensor
