"""A LoRA adapter's folder as factors, without its base.

What cannot be had as factors exactly is refused: DoRA, whose magnitudes depend on the base, biases,
and what starts from the base's weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.streaming.adapters.files import AdapterFiles, read_adapter_files
from adapterhub_lite.streaming.adapters.kinds import refuse_other_kinds
from adapterhub_lite.streaming.adapters.lora import DRAWN, PART, Scalings
from adapterhub_lite.streaming.factors import Factors
from adapterhub_lite.streaming.headers import StoredTensor
from adapterhub_lite.streaming.sources import refuse_non_finite

ModuleKind = Literal["linear", "embedding"]
HINT: Final = "merge it as a model (output: {kind: model}), then take an adapter out of that"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraFolder:
    """An adapter that was read: factors by the module's name, and what was trained whole.

    ``kinds`` says what each module is; an embedding's update is stored transposed. ``saved`` are
    the tensors of ``modules_to_save``, by their names in the model.
    """

    label: str
    folder: Path
    config: Mapping[str, Any]
    factors: Mapping[str, Factors]
    kinds: Mapping[str, ModuleKind]
    saved: Mapping[str, torch.Tensor]


def read_lora_folder(folder: Path, label: str) -> LoraFolder:
    """Read an adapter into memory, in 32 bits.

    Raises BaseModelError for a folder that is no adapter or is broken, CapabilityError for an
    adapter that is no plain LoRA, and MergeError for numbers that are not finite.
    """
    files = read_adapter_files(folder, label)
    if reason := why_no_factors(files):
        raise CapabilityError(reason, hint=HINT)
    _refuse_drawn(files)
    modules: dict[str, dict[str, StoredTensor]] = {}
    saved: dict[str, torch.Tensor] = {}
    for name, tensor in files.tensors.items():
        if found := PART.fullmatch(name):
            modules.setdefault(found["module"], {})[found["part"]] = tensor
        else:
            saved[name] = _load(files, name, tensor)
    scalings = Scalings(files)
    kinds: dict[str, ModuleKind] = {}
    factors = {}
    for module in sorted(modules):
        kinds[module] = "embedding" if "lora_embedding_A" in modules[module] else "linear"
        factors[module] = _factors(files, module, modules[module], scalings)
    return LoraFolder(
        label=label, folder=folder, config=files.config, factors=factors, kinds=kinds, saved=saved
    )


def why_no_factors(files: AdapterFiles) -> str | None:
    """Return why an adapter is no sum of products on the base as it is; None where it is one.

    Raises CapabilityError for what is no change of weights at all.
    """
    kind = refuse_other_kinds(files)
    if kind != "LORA":
        return f"{files.label} is {kind}, no LoRA: it has no factors"
    if files.flag("use_dora"):
        return f"{files.label} is a DoRA: its norms depend on the base, so it has no factors alone"
    if files.flag("lora_bias") or files.text("bias", "none") != "none":
        return f"{files.label} changes biases, which have no factors"
    return None


def _refuse_drawn(files: AdapterFiles) -> None:
    """Refuse factors that are no change of the base as it is; raises CapabilityError."""
    if str(files.config.get("init_lora_weights")).startswith(DRAWN):
        raise CapabilityError(
            f"{files.label} is relative to weights that its initialisation took out of its base",
            hint="save it as plain LoRA: PEFT's save_pretrained(…, "
            "path_initial_model_for_weight_conversion=…)",
        )


def _factors(
    files: AdapterFiles, module: str, parts: Mapping[str, StoredTensor], scalings: Scalings
) -> Factors:
    """Pair a module's A and B, with the scaling that PEFT gives them."""
    embedding = "lora_embedding_A" in parts
    names = (
        ("lora_embedding_A", "lora_embedding_B")
        if embedding
        else ("lora_A.weight", "lora_B.weight")
    )
    if parts.keys() != set(names):
        raise files.malformed(f"{module!r} has {', '.join(sorted(parts))}, not both of A and B")
    down, up = (_load(files, f"{module}.{name}", parts[name]) for name in names)
    if down.dim() != 2 or up.dim() != 2:
        raise CapabilityError(f"{files.label} changes the convolution {module!r}", hint=HINT)
    if down.shape[0] != up.shape[1]:
        raise files.malformed(f"A and B of {module!r} have different ranks")
    return Factors(down, up, scalings.of(module, down.shape[0]))


def _load(files: AdapterFiles, name: str, tensor: StoredTensor) -> torch.Tensor:
    values = files.part(tensor, 0, tensor.size).view(tensor.shape).to(torch.float32, copy=True)
    refuse_non_finite(values, name, files.label)
    return values
