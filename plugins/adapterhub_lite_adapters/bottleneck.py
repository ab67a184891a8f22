"""Bottlenecks of AdapterHub become those of the method ``bottleneck``.

Its sequential adapter reads the projection's output, or with ``original_ln_before`` that of the
whole sub-layer; its parallel one reads what the residual connection adds. All is added before the
residual and the LayerNorm (``original_ln_after``). The network between is the same.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from adapterhub_lite.architecture import TensorInfo
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite_adapters.configs import About, Bottleneck, activation
from adapterhub_lite_adapters.translating import (
    TUNER,
    Translated,
    find_module,
    layer_number,
    renamed,
    require_shape,
    stranger,
)

Places = tuple[tuple[str, str, str], ...]
"""Switch of the config, end of the name of AdapterHub's module, that of the output projection."""

_BERT: Final[Places] = (
    ("mh_adapter", ".attention.output", ".attention.output.dense"),
    ("output_adapter", ".output", ".output.dense"),
)
_DISTILBERT: Final[Places] = (
    ("mh_adapter", ".attention_adapters", ".attention.out_lin"),
    ("output_adapter", ".output_adapters", ".ffn.lin2"),
)
_BART: Final[Places] = (
    ("cross_adapter", ".cross_attention_adapters", ".encoder_attn.out_proj"),
    ("mh_adapter", ".attention_adapters", ".self_attn.out_proj"),
    ("output_adapter", ".output_adapters", ".fc2"),
)
_GPT2: Final[Places] = (
    ("mh_adapter", ".attention_adapters", ".attn.c_proj"),
    ("output_adapter", ".output_adapters", ".mlp.c_proj"),
)
_LLAMA: Final[Places] = (
    ("mh_adapter", ".attention_adapters", ".self_attn.o_proj"),
    ("output_adapter", ".output_adapters", ".mlp.down_proj"),
)
_T5: Final[Places] = (
    ("mh_adapter", "", ".SelfAttention.o"),
    ("cross_adapter", "", ".EncDecAttention.o"),
    ("output_adapter", "", ".DenseReluDense.wo"),
)
PLACES: Final[Mapping[str, Places]] = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "electra"), _BERT),
    "distilbert": _DISTILBERT,
    "bart": _BART,
    "gpt2": _GPT2,
    **dict.fromkeys(("llama", "mistral"), _LLAMA),
    **dict.fromkeys(("t5", "mt5"), _T5),
}
"""Model type → where its bottlenecks stand."""
PARTS: Final = {"adapter_down.0": "bottleneck_down", "adapter_up": "bottleneck_up"}
OLD: Final = re.compile(r"\.(attention|layer)_text_(task|lang)_adapters\.")
"""What releases before 2 called the dictionary of a layer's adapters."""


def translate(
    about: About, config: Bottleneck, tensors: Mapping[str, TensorInfo], model: Any
) -> Translated:
    """Find each tensor's place on a base without weights.

    Raises CapabilityError for settings and tensors that have no equal, IntegrityError for shapes
    that the base does not allow.
    """
    _refuse_others(about, config)
    if about.model_type not in PLACES:
        raise CapabilityError(
            f"bottlenecks on a {about.model_type!r} model are not imported",
            hint=f"they are on {', '.join(PLACES)}",
        )
    names: dict[str, str] = {}
    found: dict[str, dict[str, TensorInfo]] = defaultdict(dict)
    for name, info in tensors.items():
        module, part = _place(name, about, model)
        names[f"{TUNER}{module}.{part}"] = name
        found[module][part] = info
    _require_all(found, config, PLACES[about.model_type], model)
    width = _width(found, config, model.config.hidden_size)
    params = {
        "style": _style(config),
        "reads": _reads(config),
        "bottleneck_size": width,
        "non_linearity": activation(config.non_linearity),
        "scaling": config.scaling,
        "target_modules": sorted(found),
    }
    return Translated("bottleneck", params, renamed(names))


def _refuse_others(about: About, config: Bottleneck) -> None:
    invertible = config.inv_adapter or config.invertible_adapter
    if invertible and about.type != "text_task":
        raise CapabilityError(
            "the adapter has an invertible adapter behind the embeddings, which there is not here",
            hint="train it again without one, as seq_bn",
        )
    beside = config.original_ln_before and not config.is_parallel
    if config.residual_before_ln == "post_add" or (beside and config.residual_before_ln is False):
        raise CapabilityError(
            f"the adapter has residual_before_ln = {config.residual_before_ln!r}: it adds to what "
            "the LayerNorm gives, and those here to what it gets",
            hint="train it again as seq_bn or double_seq_bn",
        )


def _place(name: str, about: About, model: Any) -> tuple[str, str]:
    """Return the output projection that a tensor belongs to, and the tensor's name behind it."""
    shown = OLD.sub(".adapters.", name)
    start, own, end = shown.partition(f".adapters.{about.name}.")
    part, _, kind = end.rpartition(".")
    if not own or part not in PARTS or kind not in ("weight", "bias"):
        raise stranger(name)
    for _, theirs, ours in PLACES[about.model_type]:
        if start.endswith(theirs):
            module = find_module(model, start.removesuffix(theirs) + ours)
            if module is not None:
                return module, f"{PARTS[part]}.{kind}"
    raise stranger(name)


def _require_all(found: Mapping[str, Any], config: Bottleneck, places: Places, model: Any) -> None:
    """Refuse a file with more or fewer layers than its config says."""
    wanted = set()
    for name, _ in model.named_modules():
        switch = next((s for s, _, ours in places if f".{name}".endswith(ours)), None)
        if switch is not None and getattr(config, switch) and not _left_out(name, config, model):
            wanted.add(name)
    if odd := sorted(wanted ^ found.keys()):
        verb = "lacks" if odd[0] in wanted else "has"
        raise CapabilityError(
            f"the adapter {verb} a bottleneck at {odd[0]!r}, and its config says otherwise",
            hint="give the base that it was trained on: --base REF",
        )


def _left_out(name: str, config: Bottleneck, model: Any) -> bool:
    """Say whether a layer has no adapter; a decoder's numbers go on behind its encoder's."""
    number = layer_number(name)
    if model.config.is_encoder_decoder and ".decoder." in f".{name}":
        number += model.config.num_hidden_layers
    return number in config.leave_out


def _width(found: Mapping[str, Mapping[str, TensorInfo]], config: Bottleneck, hidden: int) -> int:
    """Return the width of all bottlenecks, which have four tensors each."""
    factor = config.reduction_factor
    factors = set(factor.values()) if isinstance(factor, dict) else {factor}
    widths = {max(1, int(hidden // each)) for each in factors}
    if len(widths) != 1:
        raise CapabilityError(
            f"the adapter's layers have the widths {sorted(widths)}, and here all have one",
            hint="train it again with one reduction_factor",
        )
    (width,) = widths
    expected = {
        "bottleneck_down.weight": (width, hidden),
        "bottleneck_down.bias": (width,),
        "bottleneck_up.weight": (hidden, width),
        "bottleneck_up.bias": (hidden,),
    }
    for module, parts in found.items():
        for part, shape in expected.items():
            if part not in parts:
                raise CapabilityError(f"the bottleneck at {module!r} lacks its {part}")
            require_shape(f"{module}.{part}", parts[part].shape, shape)
    return width


def _style(config: Bottleneck) -> str:
    if config.is_parallel:
        return "parallel"
    return "houlsby" if config.mh_adapter else "pfeiffer"


def _reads(config: Bottleneck) -> str:
    if config.is_parallel:
        return "residual"
    return "sublayer" if config.original_ln_before else "projection"
