"""Loading a base in floating point."""

import copy
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import torch

from adapterhub_lite.errors import CapabilityError, MissingDependencyError
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.specs import Head, ResolvedBase
from adapterhub_lite.transformer import load_transformer, present_device
from adapterhub_lite_loaders import HalfParams
from adapterhub_lite_loaders.heads import keep_in_float32

ATTENTION = {"sdpa": "sdpa", "eager": "eager", "flash": "flash_attention_2"}
"""Our names → transformers' names."""


class FloatLoader:
    """Loads a base in one floating-point type; a new head is in float32 whatever the type."""

    dtype: ClassVar[torch.dtype]

    def load(self, base: ResolvedBase, head: Head, params: HalfParams, device: str) -> LoadedBase:
        """Load the transformer and its tokenizer in evaluation mode.

        Raises CapabilityError for fp16 without a GPU, and for flash attention without one;
        MissingDependencyError for flash attention without the package flash-attn.
        """
        place = present_device(device)
        if self.dtype == torch.float16 and place == "cpu":
            raise CapabilityError(
                "16-bit floating point (fp16) needs a GPU", hint="use the loader bf16 or fp32"
            )
        if params.attention == "flash":
            _require_flash(place)
        attention = ATTENTION[params.attention]
        loaded = load_transformer(Path(base.path), head, self.dtype, place, attention=attention)
        if self.dtype != torch.float32:
            keep_in_float32(loaded)
        return loaded

    def dequantise(self, base: LoadedBase) -> LoadedBase:
        """Return the base in float32, which holds 16-bit numbers exactly: itself, or a copy."""
        if all(p.dtype == torch.float32 for p in base.model.parameters()):
            return base
        model = copy.deepcopy(base.model).float()
        model.config.dtype = torch.float32
        return replace(base, model=model)


class Float32Loader(FloatLoader):
    """Loads a base as 32-bit floating point."""

    dtype = torch.float32


class BFloat16Loader(FloatLoader):
    """Loads a base as bfloat16: 8 bits of exponent, 8 of precision."""

    dtype = torch.bfloat16


class Float16Loader(FloatLoader):
    """Loads a base as IEEE half precision: 5 bits of exponent, 11 of precision; on a GPU only."""

    dtype = torch.float16


def _require_flash(place: str) -> None:
    if place == "cpu":
        raise CapabilityError("flash attention needs a GPU", hint="use attention: sdpa")
    if find_spec("flash_attn") is None:
        raise MissingDependencyError(
            "flash_attn, which attention: flash needs,",
            install="pip install flash-attn --no-build-isolation",
        )
