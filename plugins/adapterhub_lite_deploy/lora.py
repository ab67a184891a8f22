"""A plain LoRA adapter as numbers: what other engines take, and what they refuse."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.specs import Head
from adapterhub_lite.transformer import load_transformer
from adapterhub_lite.tuners.files import CONFIG, WEIGHTS

PREFIX = "base_model.model."


@dataclass(frozen=True, slots=True)
class Lora:
    """Factors (rank, in) and (out, rank) by the module's name; their product counts ``scale``."""

    factors: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]
    rank: int
    scale: float


def lora_config(folder: Path) -> dict[str, Any]:
    """Read ``adapter_config.json`` of a folder that PEFT's format was written to."""
    found: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return found


def problems(config: Mapping[str, Any]) -> list[str]:
    """Return what of an adapter's config is more than two factors a linear layer."""
    found = []
    if config.get("peft_type") != "LORA":
        found.append(f"it is {config.get('peft_type')}, no LoRA")
    if config.get("use_dora"):
        found.append("it scales weights by their size (use_dora)")
    if config.get("modules_to_save"):
        named = ", ".join(config["modules_to_save"])
        found.append(f"it has whole layers of its own (modules_to_save: {named})")
    if config.get("bias", "none") != "none" or config.get("lora_bias"):
        found.append("it has learnt biases")
    if config.get("rank_pattern") or config.get("alpha_pattern"):
        found.append("its rank or alpha differs between modules")
    return found


def read_lora(folder: Path, target: str) -> Lora:
    """Read a version's adapter; raises CapabilityError for more than plain factors."""
    if not (folder / CONFIG).is_file():
        method = read_artifact_info(folder).method
        raise CapabilityError(
            f"{target!r} takes LoRA, and the method is {method!r}", hint="take hf"
        )
    config = lora_config(folder)
    if reasons := problems(config):
        raise CapabilityError(
            f"{target!r} cannot hold the adapter: {'; '.join(reasons)}",
            hint="deploy it merged into its base: --to hf or gguf",
        )
    tensors = load_file(folder / WEIGHTS)
    factors = {}
    for name, down in tensors.items():
        if name.endswith(".lora_A.weight"):
            module = name.removesuffix(".lora_A.weight")
            factors[module.removeprefix(PREFIX)] = (down, tensors[f"{module}.lora_B.weight"])
    if 2 * len(factors) != len(tensors):
        raise CapabilityError(
            f"{target!r} cannot hold the adapter: it has tensors that are no factors",
            hint="deploy it merged into its base: --to hf or gguf",
        )
    rank = int(config["r"])
    root = math.sqrt(rank) if config.get("use_rslora") else rank
    return Lora(factors, rank, config["lora_alpha"] / root)


def patched_model(base: Path, head: Head, lora: Lora) -> Any:
    """Return a base with an adapter's products added to its weights."""
    model = load_transformer(base, head, torch.float32, "cpu").model
    with torch.no_grad():
        for module, (down, up) in lora.factors.items():
            change = torch.from_numpy(up).float() @ torch.from_numpy(down).float()
            model.get_submodule(module).weight += lora.scale * change
    return model
