"""A model folder whose linear layers bitsandbytes quantised: dequantised slice by slice.

The numbers are those of bitsandbytes' own dequantisation, bit for bit; it is not needed for them.
Papers: https://arxiv.org/abs/2305.14314 (nf4), https://arxiv.org/abs/2208.07339 (int8).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import torch

from adapterhub_lite.errors import BaseModelError, CapabilityError
from adapterhub_lite.streaming.adapters.orientation import CONV1D, LAYERS
from adapterhub_lite.streaming.headers import StoredTensor, TensorShape
from adapterhub_lite.streaming.nf4 import STATE, nf4_parts, read_nf4
from adapterhub_lite.streaming.sources import TORCH_TYPES, TYPE_NAMES, FolderSource

PER_STEP: Final = 7.874015718698502e-3
"""1/127, as bitsandbytes writes it."""
SCALES: Final = ".SCB"


class Layer(Protocol):
    """A quantised weight."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def read(self, start: int, stop: int) -> torch.Tensor:
        """Return the numbers ``start:stop`` in float32."""


class Int8Layer:
    """LLM.int8(): W = q·s/127 with a scale s for each row."""

    def __init__(
        self,
        weights: torch.Tensor,
        scales: torch.Tensor,
        shape: tuple[int, int],
        dtype: torch.dtype,
    ) -> None:
        self.shape, self.dtype = shape, dtype
        self._weights, self._scales = weights, scales

    def read(self, start: int, stop: int) -> torch.Tensor:
        """Return the numbers ``start:stop`` in float32."""
        width = self.shape[1]
        first, last = start // width, -(-stop // width)
        rows = self._weights[first:last] * self._scales[first:last, None] * PER_STEP
        return rows.view(-1)[start - first * width : stop - first * width].clone()


class QuantisedSource:
    """The folder's model in floating point; what belongs to the quantisation is hidden."""

    def __init__(self, folder: Path, label: str, config: Mapping[str, Any]) -> None:
        self.folder, self.label = folder, label
        self._stored = FolderSource(folder, label)
        self._layers: dict[str, Layer] = {}
        hidden: set[str] = set()
        for name in self._stored.tensors:
            if STATE in name:
                weight, parts = nf4_parts(name, self._stored.tensors)
                self._layers[weight] = read_nf4(self._stored, weight, parts)
                hidden |= set(parts)
            elif name.endswith(SCALES):
                weight = name.removesuffix(SCALES) + ".weight"
                self._layers[weight] = self._int8(name, weight, _dtype(config))
                hidden |= {name, name.removesuffix(SCALES) + ".weight_format"}
        self._check(config)
        self.tensors: Mapping[str, TensorShape] = {
            name: self._shape(name) for name in self._stored.tensors if name not in hidden
        }

    def read(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return the numbers ``start:stop`` of a flattened tensor, as a new float32 tensor."""
        if name in self._layers:
            return self._layers[name].read(start, stop)
        return self._stored.read(name, start, stop)

    def raw(self, name: str) -> torch.Tensor:
        """Return a whole tensor, in its shape: a quantised one dequantised."""
        if name not in self._layers:
            return self._stored.raw(name)
        shape = self.tensors[name]
        return self.read(name, 0, shape.size).view(shape.shape).to(TORCH_TYPES[shape.dtype])

    def _shape(self, name: str) -> TensorShape:
        layer = self._layers.get(name)
        if layer is None:
            return self._stored.tensors[name]
        return TensorShape(TYPE_NAMES[layer.dtype], layer.shape)

    def _int8(self, scales: str, weight: str, dtype: torch.dtype) -> Int8Layer:
        tensors = self._stored.tensors
        stored = tensors.get(weight)
        order = tensors.get(scales.removesuffix(SCALES) + ".weight_format")
        fits = (
            stored is not None
            and stored.dtype == "I8"
            and len(stored.shape) == 2
            and tensors[scales].dtype == "F32"
            and tensors[scales].shape == stored.shape[:1]
            and (order is None or (order.dtype == "U8" and order.size == 1))
        )
        if not fits or stored is None:
            raise BaseModelError(
                f"{weight!r} of {self.label} is no 8-bit weight with a scale for each row",
                ref=self.label,
            )
        if order is not None and int(self._stored.raw(f"{weight}_format")) != 0:
            raise CapabilityError(
                f"{weight!r} of {self.label} is in the order of a GPU's tiles",
                hint="load it with transformers, dequantise it, and save that",
            )
        shape = (stored.shape[0], stored.shape[1])
        return Int8Layer(self._stored.raw(weight), self._stored.raw(scales), shape, dtype)

    def _check(self, config: Mapping[str, Any]) -> None:
        """Refuse what would be read wrongly: transposed layers, and 8 or 4 bits of other kinds."""
        if not self._layers:
            raise BaseModelError(
                f"the config of {self.label} says it is quantised, and none of its weights is",
                ref=self.label,
            )
        turned = [name for name in self._layers if name.split(".")[-2] in LAYERS]
        if config.get("model_type") in CONV1D and turned:
            raise CapabilityError(
                f"{self.label} is quantised, which stores {turned[0]!r} transposed",
                hint="load it with transformers, dequantise it, and save that",
            )
        for name, stored in self._stored.tensors.items():
            if name not in self._layers and _looks_quantised(name, stored):
                raise CapabilityError(
                    f"{name!r} of {self.label} is quantised in a way that is not read",
                    hint="nf4 and int8 of bitsandbytes are; dequantise it with transformers",
                )


def _looks_quantised(name: str, stored: StoredTensor) -> bool:
    return name.endswith(".weight") and stored.dtype in ("I8", "U8")


def _dtype(config: Mapping[str, Any]) -> torch.dtype:
    """Return the config's dtype: 8-bit weights do not tell what they were."""
    named = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    dtype = getattr(torch, named.removeprefix("torch."), None)
    return dtype if dtype in (torch.float32, torch.bfloat16, torch.float16) else torch.float32
