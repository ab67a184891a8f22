"""LoRA adapters averaged into one, and several adapters of one method active on a base."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from adapterhub_lite.errors import AdapterHubError
from adapterhub_lite.merging.adapters.files import LoraFolder, read_lora_folder
from adapterhub_lite.merging.adapters.lowrank import concatenate
from adapterhub_lite.merging.adapters.merge import module_kinds, shared_targets
from adapterhub_lite.merging.adapters.output import AdapterContent, write_lora
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.streaming.adapters.files import BEFORE
from adapterhub_lite.tuners.files import read_config, read_state
from adapterhub_lite.tuners.together import stack, weighted_heads, whole_modules
from adapterhub_lite_peft.config import build_config
from adapterhub_lite_peft.files import read_params
from adapterhub_lite_peft.mixed import special_settings
from adapterhub_lite_peft.table import ENTRIES

ADDED: frozenset[str] = frozenset({"LORA", "LOHA", "LOKR", "IA3"})
"""Methods whose several active adapters are one upon the other, as a test compares them."""


def reasons_against(folders: Mapping[str, Path], how: Literal["stack", "average"]) -> Sequence[str]:
    """Return what speaks against adapters acting together, told from their files alone."""
    kinds = {name: read_config(folder).get("peft_type") for name, folder in folders.items()}
    if how == "average":
        return _against_average(folders, kinds)
    if other := [name for name, kind in kinds.items() if kind not in ADDED]:
        kind = ENTRIES[str(kinds[other[0]])].name if kinds[other[0]] in ENTRIES else "unknown"
        able = ", ".join(sorted(ENTRIES[kind].name for kind in ADDED))
        return [f"{other[0]} is {kind}, and PEFT stacks {able} alone"]
    for name, folder in folders.items():
        if read_config(folder).get("use_dora"):
            return [
                f"{name} is a DoRA: it rescales the base's weights, and which those are is open"
            ]
    return []


def _against_average(folders: Mapping[str, Path], kinds: Mapping[str, Any]) -> Sequence[str]:
    """Return why there is no one adapter that adds what they add."""
    if other := [name for name, kind in kinds.items() if kind != "LORA"]:
        return [f"{other[0]} is no LoRA, and of PEFT's methods only LoRAs have an exact average"]
    try:
        for name, folder in folders.items():
            read_lora_folder(folder, name)
    except AdapterHubError as error:
        return [error.message]
    return []


def reasons_unless_plain(folders: Mapping[str, Path], doing: str) -> Sequence[str]:
    """Return what is no plain LoRA of linear layers, and what ``doing`` takes instead."""
    for name, folder in folders.items():
        params = read_params(folder)
        if params.peft_type != "LORA":
            return [f"{name} is {ENTRIES[params.peft_type].name}, and {doing} LoRAs"]
        if special := special_settings(params):
            return [f"{name} is a LoRA with {special[0]}: {doing} plain ones"]
        if any("lora_embedding" in tensor for tensor in read_state(folder)):
            return [f"{name} adapts an embedding: {doing} those of linear layers"]
    return []


def stacked(base: LoadedBase, folders: Mapping[str, Path], head: str, load: Any) -> LoadedBase:
    """Return a base with several adapters active; ``load`` is the method's own."""
    others = {
        name: (build_config(replace(base, new=()), read_params(folder)), folder)
        for name, folder in folders.items()
        if name != head
    }
    loaded: LoadedBase = load(base, folders[head])
    return replace(loaded, model=stack(loaded.model, list(folders), head, others))


def write_lora_average(
    folders: Mapping[str, Path],
    weights: Mapping[str, float],
    heads: Mapping[str, float],
    folder: Path,
) -> None:
    """Write the LoRA whose ΔW is Σ wᵢΔWᵢ: its factors are theirs side by side, of rank Σrᵢ."""
    # in the order of names, so that the order in which they are given changes no bit
    adapters = [read_lora_folder(folders[name], name) for name in sorted(folders)]
    kinds = module_kinds(adapters)
    factors = {}
    for module in kinds:
        held = [adapter for adapter in adapters if module in adapter.factors]
        factors[module] = concatenate(
            [adapter.factors[module] for adapter in held],
            [weights[adapter.label] for adapter in held],
        )
    saved = weighted_heads(dict(sorted(folders.items())), heads)
    content = AdapterContent(
        factors=factors,
        saved={name.removeprefix(BEFORE): value for name, value in saved.items()},
        saved_modules=_saved_modules(folders, heads, saved),
        embeddings=[module for module, kind in kinds.items() if kind == "embedding"],
        targets=shared_targets(adapters),
        transposed=any(adapter.config.get("fan_in_fan_out") for adapter in adapters),
        task_type=_task_type(adapters, heads),
    )
    write_lora(folder, content)


def _saved_modules(
    folders: Mapping[str, Path], heads: Mapping[str, float], saved: Mapping[str, Any]
) -> list[str]:
    """Return the modules that are replaced whole; PEFT lists some that a base does not have."""
    listed = {n for name, folder in folders.items() if heads[name] for n in whole_modules(folder)}
    return sorted(n for n in listed if any(f".{n}." in f".{tensor}" for tensor in saved))


def _task_type(adapters: Sequence[LoraFolder], heads: Mapping[str, float]) -> str | None:
    answering = next(adapter for adapter in adapters if heads[adapter.label])
    kind = answering.config.get("task_type")
    return str(kind) if kind else None
