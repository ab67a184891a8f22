"""What speaks against a method on a base, told before any weight is loaded."""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from torch import nn

from adapterhub_lite.architecture import Architecture
from adapterhub_lite.errors import AdapterHubError
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.specs import Head
from adapterhub_lite.tuners.wrapping import first_line, tuner_layers
from adapterhub_lite_peft.config import PREFIXES, PROMPTS
from adapterhub_lite_peft.params import PeftParams
from adapterhub_lite_peft.patterns import pattern_reasons
from adapterhub_lite_peft.skeleton import linear_sizes
from adapterhub_lite_peft.table import ENTRIES

ROOM: Final = 8
"""The fewest positions that virtual tokens have to leave for the text."""
WIDE: Final = 16
"""Ranks of methods that share or project their matrices may be so many times the widest layer."""
RANKS: Final = ("r", "init_r", "target_r", "subspace_rank", "hybrid_r")


def reasons_before(architecture: Architecture, head: Head, params: PeftParams) -> list[str]:
    """Return what a method's nature and the base's kind tell."""
    entry = ENTRIES[params.peft_type]
    if entry.refused:
        return [f"it cannot be trained here: {entry.refused}"]
    virtual = params.peft_type in PREFIXES | PROMPTS
    if virtual and architecture.family == "encoder-decoder" and head.kind != "seq2seq-lm":
        return ["it works on an encoder-decoder as a language model only; lora works"]
    classifies = head.kind == "sequence-classification"
    if params.peft_type in PROMPTS and architecture.family == "decoder" and classifies:
        return [
            "a decoder's classification head finds the text's last token by its number, which "
            "virtual tokens hide, so it would read padding; prefix and lora work"
        ]
    return _reasons_of_initialisation(params.model_dump())


def reasons_of_sizes(base: LoadedBase, params: PeftParams, slack: int = 1) -> list[str]:
    """Return what the base's sizes tell; ``slack`` is how much larger than they a rank may be."""
    entry = ENTRIES[params.peft_type]
    settings = params.model_dump()
    widest = max((min(sizes) for sizes in linear_sizes(base.model).values()), default=0)
    reasons = [
        f"{name} is {rank}, and the base's widest layer has {widest} dimensions"
        for name, rank in _ranks(settings)
        if rank > slack * widest * (1 if name in entry.ranks or "_pattern" in name else WIDE)
    ]
    return [*reasons, *_reasons_of_tokens(base, params, settings)]


def reasons_of_names(base: LoadedBase, params: PeftParams) -> list[str]:
    """Return what is named and not there: modules, layers, patterns that match nothing."""
    settings = params.model_dump()
    names = [name for name, _ in base.model.named_modules()]
    if reasons := pattern_reasons(settings, names):
        return reasons
    return [
        *_absent_modules(base, settings, names),
        *_idle_pattern(base, params, names),
        *_absent_layers(base, settings),
    ]


def reasons_of_fit(model: Any, base: LoadedBase, params: PeftParams) -> list[str]:
    """Return what the wrapped skeleton tells: nothing adapted, or more ranks than dimensions."""
    entry = ENTRIES[params.peft_type]
    heads = tuple(
        f".{name}." for name in (*base.new, *(params.model_dump().get("modules_to_save") or ()))
    )
    adapter = [
        name
        for name, value in model.named_parameters()
        if value.requires_grad and not ("modules_to_save" in name and any(h in name for h in heads))
    ]
    if not adapter:
        return ["it finds nothing that it can adapt in this base; lora works"]
    if not entry.ranks:
        return []
    for name, layer in tuner_layers(model).items():
        rank, least = _rank_and_dimension(layer)
        if rank > least:
            place = name.removeprefix("base_model.model.")
            return [f"its rank is {rank}, and {place!r} has {least} dimensions"]
    return []


def as_reason(error: Exception) -> str:
    """Return an error's message and its way out in one line."""
    if "Conv1D(" in str(error) or ".Conv1D'" in str(error):
        return "it adapts no layers of the type Conv1D, which this base has; lora and ia3 do"
    if isinstance(error, AdapterHubError) and error.hint:
        return f"{error}; {error.hint}"
    return first_line(error)


def _reasons_of_initialisation(settings: Mapping[str, Any]) -> list[str]:
    if settings.get("init_lora_weights") == "loftq" and not torch.cuda.is_available():
        return ["loftq computes on a GPU, and there is none here; pissa and olora work"]
    if settings.get("prompt_tuning_init") == "TEXT" and not settings["prompt_tuning_init_text"]:
        return ["the initialisation TEXT needs a prompt_tuning_init_text; RANDOM needs none"]
    if settings.get("token_indices") == []:
        return ["token_indices names no token to train"]
    return []


def _ranks(settings: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for name in RANKS:
        if isinstance(rank := settings.get(name), int):
            yield name, rank
    for layer, rank in (settings.get("rank_pattern") or {}).items():
        if isinstance(rank, int):
            yield f"rank_pattern of {layer!r}", rank


def _reasons_of_tokens(
    base: LoadedBase, params: PeftParams, settings: Mapping[str, Any]
) -> list[str]:
    config = base.model.config
    positions = getattr(config, "max_position_embeddings", None)
    count = settings.get("num_virtual_tokens") or 0
    if isinstance(positions, int) and count and count + ROOM > positions:
        return [f"{count} virtual tokens leave no room: the base reads {positions} tokens at most"]
    if params.peft_type in PREFIXES and not _takes_past(base.model):
        return [
            f"it needs past keys and values, which a {config.model_type} does not take; prompt and "
            "lora work"
        ]
    chosen = settings.get("token_indices") or []
    outside = [number for number in chosen if not 0 <= number < config.vocab_size]
    return [f"the base has no token {number}" for number in outside[:1]]


def _takes_past(model: nn.Module) -> bool:
    """Say whether the model, or the transformer within it, takes past keys and values."""
    body = getattr(model, getattr(model, "base_model_prefix", ""), None)
    return any(
        "past_key_values" in inspect.signature(module.forward).parameters
        for module in (model, body)
        if isinstance(module, nn.Module)
    )


def _absent_modules(
    base: LoadedBase, settings: Mapping[str, Any], names: Sequence[str]
) -> list[str]:
    """Name what matches nothing: PEFT passes it over in a list as long as another name matches."""
    listed = [
        (key, value)
        for key in ("target_modules", "exclude_modules", "feedforward_modules", "modules_to_save")
        if isinstance(values := settings.get(key), list)
        for value in values
    ]
    absent = [
        (key, value)
        for key, value in listed
        if not any(name == value or name.endswith(f".{value}") for name in names)
    ]
    known = ", ".join(sorted({name.rpartition(".")[2] for name in linear_sizes(base.model)}))
    return [
        f"{key} names {value!r}, which the base does not have; its linear layers are {known}"
        for key, value in absent[:1]
    ]


def _idle_pattern(base: LoadedBase, params: PeftParams, names: Sequence[str]) -> list[str]:
    """Say so when a pattern matches nothing; it ends, or it was refused before."""
    pattern = params.model_dump().get("target_modules")
    if not isinstance(pattern, str) or pattern.lower() == "all-linear":
        return []
    if params.peft_type == "ADAPTION_PROMPT":  # takes it for the end of names
        return []
    tried = re.compile(pattern)
    if any(tried.fullmatch(name) for name in names):
        return []
    ends = sorted({name.rpartition(".")[2] for name in linear_sizes(base.model)})
    return [
        f"the pattern {pattern!r} in target_modules matches no module's whole name; the names of "
        f"linear layers end in {', '.join(ends)}, as in '.*{ends[0] if ends else 'dense'}'"
    ]


def _absent_layers(base: LoadedBase, settings: Mapping[str, Any]) -> list[str]:
    chosen = settings.get("layers_to_transform")
    if chosen is None:
        return []
    targets = settings.get("target_modules")
    if isinstance(targets, str):
        return [
            "layers_to_transform does nothing when target_modules is a pattern; list the modules' "
            "names, or put the layers' numbers into the pattern"
        ]
    layers = base.model.config.num_hidden_layers
    numbers = [chosen] if isinstance(chosen, int) else chosen
    outside = [number for number in numbers if not 0 <= number < layers]
    return [f"the base has no layer {number}: it has {layers}" for number in outside[:1]]


def _rank_and_dimension(layer: Any) -> tuple[int, int]:
    ranks = getattr(layer, "r", None)
    sizes = [getattr(layer, name, None) for name in ("in_features", "out_features")]
    least = min((size for size in sizes if isinstance(size, int)), default=0)
    rank = ranks.get("default", 0) if isinstance(ranks, Mapping) else 0
    return (rank, least) if least and isinstance(rank, int) else (0, 0)
