"""4-bit NormalFloat as bitsandbytes stores it: two numbers a byte, a scale for each block.

With double quantisation the scales are bytes, with a scale for each block of theirs and a common
offset (Dettmers et al., 2023).
"""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch

from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.streaming.headers import StoredTensor
from adapterhub_lite.streaming.sources import FolderSource

STATE: Final = ".quant_state.bitsandbytes__"
KIND: Final = "nf4"
MAX_STATE: Final = 10_000
BLOCKS: Final = frozenset({32, 64, 128, 256, 512, 1024, 2048, 4096})
DTYPES: Final = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
# fmt: off
VALUES: Final = np.array(
    [
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
        -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
        0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
        0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
    ],
    np.float32,
)
# fmt: on
"""The sixteen values of NF4 (its paper, appendix E)."""
PAIRS: Final = torch.from_numpy(
    np.stack([np.repeat(VALUES, 16), np.tile(VALUES, 16)], axis=1).view(np.int64)[:, 0]
)
"""A byte → the bits of its two values, the one of its upper half first."""


class NF4Layer:
    """W = value·scale for each number, rounded to the dtype that it was quantised from."""

    def __init__(
        self,
        weights: torch.Tensor,
        scales: "Scales",
        shape: tuple[int, ...],
        block: int,
        dtype: str,
    ) -> None:
        self.shape, self.dtype = shape, DTYPES[dtype]
        self._bytes = weights.reshape(-1).view(torch.uint8)
        self._scales, self._block = scales, block

    def read(self, start: int, stop: int) -> torch.Tensor:
        """Return the numbers ``start:stop`` in float32; whole blocks are computed."""
        block = self._block
        first, last = start // block, -(-stop // block)
        packed = self._bytes[first * block // 2 : last * block // 2]
        values = PAIRS.index_select(0, packed.int()).view(torch.float32)
        whole = values.numel() // block
        scales = self._scales.read(first, last)
        values[: whole * block].view(-1, block).mul_(scales[:whole, None])
        values[whole * block :].mul_(scales[whole:].expand(1 if whole < last - first else 0))
        kept = values[start - first * block : stop - first * block]
        return kept.to(self.dtype).to(torch.float32, copy=True)


class Scales:
    """Each block's largest magnitude, stored in float32 or quantised once more."""

    def __init__(
        self,
        stored: torch.Tensor,
        table: torch.Tensor | None = None,
        outer: torch.Tensor | None = None,
        block: int = 1,
        offset: float = 0.0,
    ) -> None:
        self._stored, self._table, self._outer = stored, table, outer
        self._block, self._offset = block, offset

    def read(self, first: int, last: int) -> torch.Tensor:
        """Return those of blocks ``first:last``."""
        stored = self._stored[first:last]
        if self._table is None or self._outer is None:
            return stored
        outer = self._outer[torch.arange(first, last) // self._block]
        return self._table[stored.long()].mul_(outer).add_(self._offset)


def nf4_parts(state: str, tensors: Mapping[str, StoredTensor]) -> tuple[str, list[str]]:
    """Return the weight that a state's name belongs to, and the names of all its other parts."""
    weight = state.partition(STATE)[0]
    return weight, [name for name in tensors if name.startswith(f"{weight}.")]


def read_nf4(source: FolderSource, weight: str, parts: list[str]) -> NF4Layer:
    """Read what is small of a quantised weight; raises BaseModelError when its parts do not fit."""
    try:
        return _read(source, weight, parts)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BaseModelError(
            f"{weight!r} of {source.label} is no 4-bit weight that can be read: {error}",
            ref=source.label,
            hint="nf4 of bitsandbytes is read; dequantise other kinds with transformers",
        ) from error


def _read(source: FolderSource, weight: str, parts: list[str]) -> NF4Layer:
    state = _state(source, f"{weight}{STATE}{KIND}")
    shape, block = _shape(state["shape"]), state["blocksize"]
    size = math.prod(shape)
    if block not in BLOCKS or state["quant_type"] != KIND or state["dtype"] not in DTYPES:
        raise ValueError(f"blocks of {block}, type {state['quant_type']}, {state['dtype']}")
    if source.tensors[weight].nbytes != (size + 1) // 2:
        raise ValueError(f"it takes {source.tensors[weight].nbytes} bytes for {size} numbers")
    if not np.array_equal(_small(source, f"{weight}.quant_map", "F32", 16).numpy(), VALUES):
        raise ValueError("its sixteen values are not those of NF4")
    scales = _scales(source, weight, state, -(-size // block))
    return NF4Layer(source.raw(weight), scales, shape, block, state["dtype"])


def _scales(source: FolderSource, weight: str, state: Mapping[str, Any], blocks: int) -> Scales:
    if "nested_blocksize" not in state:
        return Scales(_small(source, f"{weight}.absmax", "F32", blocks))
    block, offset = state["nested_blocksize"], state["nested_offset"]
    if block not in BLOCKS or state["nested_dtype"] != "float32" or not math.isfinite(offset):
        raise ValueError(f"scales in blocks of {block}, {state['nested_dtype']}, {offset}")
    return Scales(
        _small(source, f"{weight}.absmax", "U8", blocks),
        _small(source, f"{weight}.nested_quant_map", "F32", 256),
        _small(source, f"{weight}.nested_absmax", "F32", -(-blocks // block)),
        block,
        offset,
    )


def _small(source: FolderSource, name: str, dtype: str, size: int) -> torch.Tensor:
    stored = source.tensors[name]
    if stored.dtype != dtype or stored.size != size:
        raise ValueError(f"{name!r} holds {stored.size} of {stored.dtype}, not {size} of {dtype}")
    return source.raw(name).reshape(-1)


def _state(source: FolderSource, name: str) -> dict[str, Any]:
    stored = source.tensors[name]
    if stored.dtype != "U8" or stored.size > MAX_STATE:
        raise ValueError(f"{name!r} is no short text")
    state = json.loads(bytes(source.raw(name).tolist()))
    if not isinstance(state, dict):
        raise TypeError(f"{name!r} is no JSON object")
    return state


def _shape(said: Any) -> tuple[int, ...]:
    if not isinstance(said, list) or not said or not all(type(n) is int and n > 0 for n in said):
        raise ValueError(f"its shape is {said}")
    return tuple(said)
