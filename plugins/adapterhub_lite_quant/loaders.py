"""Loading a base in 4 or 8 bits."""

import re
from pathlib import Path
from typing import Any

import torch

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.specs import Head, ResolvedBase
from adapterhub_lite.transformer import empty_model, load_transformer, present_device
from adapterhub_lite_quant import Int8Params, NF4Params, QuantParams
from adapterhub_lite_quant.library import settle
from adapterhub_lite_quant.restore import restored


class QuantisedLoader:
    """What both loaders share."""

    def dequantise(self, base: LoadedBase) -> LoadedBase:
        """Return a new model in float32 with the weights that the quantised one stores."""
        return restored(base)


class NF4Loader(QuantisedLoader):
    """Loads linear layers as 4-bit NormalFloat, in blocks of 64 with a scale each."""

    def load(self, base: ResolvedBase, head: Head, params: NF4Params, device: str) -> LoadedBase:
        """Load and quantise; raises CapabilityError for float16 on a CPU."""
        place = present_device(device)
        options = {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": params.double_quantisation,
            "bnb_4bit_compute_dtype": compute_dtype(params.compute_dtype, place),
        }
        return _load(base, head, params, place, options)


class Int8Loader(QuantisedLoader):
    """Loads linear layers as 8-bit integers with a scale for each output.

    In evaluation inputs are rounded to 8 bits as well, as LLM.int8() does; in training on a CPU
    they are not.
    """

    def load(self, base: ResolvedBase, head: Head, params: Int8Params, device: str) -> LoadedBase:
        """Load and quantise."""
        options = {"load_in_8bit": True, "llm_int8_threshold": params.threshold}
        return _load(base, head, params, present_device(device), options)


def _load(
    base: ResolvedBase, head: Head, params: QuantParams, place: str, options: dict[str, Any]
) -> LoadedBase:
    from transformers import BitsAndBytesConfig

    folder = Path(base.path)
    skipped = unquantised_modules(folder, head)
    loaded = load_transformer(
        folder,
        head,
        torch.float32,
        place,
        attention=params.attention,
        quantisation=BitsAndBytesConfig(llm_int8_skip_modules=skipped, **options),
    )
    settle(loaded.model)
    return loaded


def unquantised_modules(folder: Path, head: Head) -> list[str]:
    """Return patterns for what stays in floating point: new heads, poolers, the output layer.

    A quantised head cannot learn, and BERT's fails at the first step. transformers matches a name
    by its end as well: the ``^`` keeps a head called "score" from matching "layer.score".
    """
    empty = empty_model(folder, head)
    names = {name: module for name, module in empty.model.named_modules() if name}
    output = empty.model.get_output_embeddings()
    chosen = [
        name
        for name, module in names.items()
        if name in empty.new or module is output or name.rpartition(".")[2] == "pooler"
    ]
    return [f"^{re.escape(name)}" for name in chosen]


def compute_dtype(name: str, place: str) -> torch.dtype:
    """Return the type to compute in; raises CapabilityError for float16 on a CPU."""
    if name == "float16" and place == "cpu":
        raise CapabilityError(
            "compute_dtype float16 needs a GPU", hint="use compute_dtype: bfloat16, or auto"
        )
    if name == "auto":
        return torch.bfloat16 if has_bf16(place) else torch.float32
    dtype = getattr(torch, name)
    assert isinstance(dtype, torch.dtype)
    return dtype


def has_bf16(place: str) -> bool:
    """Say whether the processor has instructions for bfloat16; emulation is slower than float32."""
    if place != "cpu":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known: dict[str, Any] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # older torch cannot tell
    return any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "sve_bf16", "bf16"))
