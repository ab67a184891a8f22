"""Loaders in floating point: 32 bits, or one of the two 16-bit formats."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, field_validator

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import LoaderSpec, Params


class HalfParams(Params):
    """How a base in 16 bits computes."""

    attention: Literal["sdpa", "eager", "flash"] = Field(
        default="sdpa",
        description="The code that computes attention: torch's own (sdpa), plain matrix products "
        "(eager), or FlashAttention 2 (flash), which needs a GPU and the package flash-attn.",
    )


class FullParams(HalfParams):
    """How a base in 32 bits computes."""

    @field_validator("attention")
    @classmethod
    def _no_flash(cls, attention: str) -> str:
        if attention == "flash":
            raise ValueError("flash attention computes in 16 bits: use loader bf16, or sdpa")
        return attention


@hookimpl
def adapterhub_loaders() -> Iterator[LoaderSpec]:
    """Offer ``fp32``, ``bf16`` and ``fp16``."""
    yield LoaderSpec(
        name="fp32",
        summary="Full precision: 32-bit floating point.",
        implementation="adapterhub_lite_loaders.floating:Float32Loader",
        params=FullParams,
        bytes_per_parameter=4,
    )
    yield LoaderSpec(
        name="bf16",
        summary="Half the memory: bfloat16, with float32's range; new heads stay in float32.",
        implementation="adapterhub_lite_loaders.floating:BFloat16Loader",
        params=HalfParams,
        bytes_per_parameter=2,
    )
    yield LoaderSpec(
        name="fp16",
        summary="Half the memory, for GPUs without bfloat16; new heads stay in float32.",
        implementation="adapterhub_lite_loaders.floating:Float16Loader",
        params=HalfParams,
        needs_gpu=True,
        bytes_per_parameter=2,
    )
