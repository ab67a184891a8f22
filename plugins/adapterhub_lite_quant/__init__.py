"""Quantised loaders: a base in 4 or 8 bits, to train adapters on (QLoRA).

Linear layers are quantised; embeddings, norms, the output layer and every new head stay in float32.
"""

from collections.abc import Iterator
from typing import Final, Literal

from pydantic import Field, NonNegativeFloat

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import LoaderSpec, Params, PresetSpec, Requirement

BITSANDBYTES: Final = Requirement(
    module="bitsandbytes", install="pip install 'adapterhub-lite[quant]'"
)

BYTES_PER_PARAMETER: Final = {"nf4": 0.52, "int8": 1.01}
"""Of a linear layer's weight: its bits and its share of the scales."""


class QuantParams(Params):
    """How a quantised base computes."""

    attention: Literal["sdpa", "eager"] = Field(
        default="sdpa",
        description="The code that computes attention: torch's own (sdpa), or plain matrix "
        "products (eager). FlashAttention takes 16-bit activations only, and these are in float32.",
    )


class NF4Params(QuantParams):
    """How 4-bit weights are stored and computed with."""

    double_quantisation: bool = Field(
        default=True,
        description="Quantise the blocks' scales too: 0.52 bytes a weight instead of 0.56.",
    )
    compute_dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="What products are computed in; auto: bfloat16 where the processor has "
        "instructions for it, else float32. The stored weights are the same.",
    )


class Int8Params(QuantParams):
    """How 8-bit weights are computed with."""

    threshold: NonNegativeFloat = Field(
        default=6.0,
        description="Inputs larger than this are multiplied in 16 bits instead of 8 (outliers); "
        "0: none are.",
    )


@hookimpl
def adapterhub_loaders() -> Iterator[LoaderSpec]:
    """Offer ``nf4`` and ``int8``."""
    yield LoaderSpec(
        name="nf4",
        summary="4-bit NormalFloat by bitsandbytes: QLoRA's base, an eighth of the weights' bytes.",
        implementation="adapterhub_lite_quant.loaders:NF4Loader",
        requires=(BITSANDBYTES,),
        paper="https://arxiv.org/abs/2305.14314",
        params=NF4Params,
        quantised=True,
        bytes_per_parameter=BYTES_PER_PARAMETER["nf4"],
        other_bytes=4,
    )
    yield LoaderSpec(
        name="int8",
        summary="8-bit integers by bitsandbytes (LLM.int8()), a quarter of the weights' bytes.",
        implementation="adapterhub_lite_quant.loaders:Int8Loader",
        requires=(BITSANDBYTES,),
        paper="https://arxiv.org/abs/2208.07339",
        params=Int8Params,
        quantised=True,
        bytes_per_parameter=BYTES_PER_PARAMETER["int8"],
        other_bytes=4,
    )


@hookimpl
def adapterhub_presets() -> Iterator[PresetSpec]:
    """Offer ``qlora``."""
    yield PresetSpec(
        name="qlora",
        summary="LoRA on all linear layers of a base in 4 bits.",
        paper="https://arxiv.org/abs/2305.14314",
        recipe={
            "loader": {"name": "nf4"},
            "method": {"name": "lora", "target_modules": "all-linear"},
        },
    )
