"""Writes a LoRA adapter's folder that plain PEFT loads, without importing peft.

The scaling of every module is 1: its alpha is its rank. Ranks may differ between modules. The same
factors give the same bytes.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import torch

from adapterhub_lite.errors import MergeError
from adapterhub_lite.merging.output import rounded
from adapterhub_lite.merging.space import require_space
from adapterhub_lite.streaming.adapters.files import BEFORE, CONFIG, WEIGHTS
from adapterhub_lite.streaming.factors import Factors

DTYPES: Final[Mapping[str, torch.dtype]] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
AdapterType = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterContent:
    """What an adapter's folder holds.

    ``factors`` are by the module's name in the model that the adapter is loaded onto. ``saved``
    are tensors of modules that are replaced whole, by their names there, and ``saved_modules`` the
    modules. ``biases`` are added to a module's own bias, of as many modules as have factors, or
    none. ``embeddings`` names modules that are embeddings, ``targets`` how PEFT is to find the
    modules (their full names, if it is empty). ``transposed`` says that weights are stored as
    inputs by outputs (GPT-2's).
    """

    factors: Mapping[str, Factors]
    saved: Mapping[str, torch.Tensor] = field(default_factory=dict)
    saved_modules: Sequence[str] = ()
    biases: Mapping[str, torch.Tensor] = field(default_factory=dict)
    embeddings: Collection[str] = ()
    targets: Sequence[str] | str = ()
    transposed: bool = False
    task_type: str | None = None
    base: str | None = None


def write_lora(folder: Path, content: AdapterContent, dtype: AdapterType = "float32") -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors`` into ``folder``.

    Modules that are replaced whole stay in 32 bits. Raises MergeError when there is nothing to
    write, or a number does not fit ``dtype``, and StorageError when the disk is too small.
    """
    from safetensors.torch import save_file

    if not content.factors:
        raise MergeError("the adapter would change no module", hint="are the models the same?")
    factors = {name: _at_least_one(content.factors[name]) for name in sorted(content.factors)}
    state: dict[str, torch.Tensor] = {}
    for module, part in factors.items():
        down, up = (
            ("lora_embedding_A", "lora_embedding_B")
            if module in content.embeddings
            else ("lora_A.weight", "lora_B.weight")
        )
        state[f"{BEFORE}{module}.{down}"] = rounded(part.down, DTYPES[dtype], module)
        state[f"{BEFORE}{module}.{up}"] = rounded(part.up * part.scaling, DTYPES[dtype], module)
        if content.biases:
            bias = content.biases.get(module, torch.zeros(part.shape[0]))
            state[f"{BEFORE}{module}.lora_B.bias"] = rounded(bias, DTYPES[dtype], module)
    state |= {f"{BEFORE}{name}": values.clone() for name, values in content.saved.items()}
    folder.mkdir(parents=True, exist_ok=True)
    contiguous = {name: state[name].contiguous() for name in sorted(state)}
    require_space(sum(values.nbytes for values in contiguous.values()), folder)
    save_file(contiguous, folder / WEIGHTS, metadata={"format": "pt"})
    config = _config(content, {name: part.rank for name, part in factors.items()})
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")


def _at_least_one(factors: Factors) -> Factors:
    """Return the factors, or those of a zero of rank 1: PEFT has no adapter of rank 0."""
    if factors.rank:
        return factors
    outputs, inputs = factors.shape
    return Factors(torch.zeros(1, inputs), torch.zeros(outputs, 1))


def _config(content: AdapterContent, ranks: Mapping[str, int]) -> dict[str, Any]:
    usual = Counter(ranks.values()).most_common(1)[0][0]
    # Anchored and escaped: a bare name would also match where it is the end of another's.
    others = {f"^{re.escape(name)}": rank for name, rank in ranks.items() if rank != usual}
    return {
        "alpha_pattern": others,
        "base_model_name_or_path": content.base,
        "bias": "none",
        "fan_in_fan_out": content.transposed,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": usual,
        "lora_bias": bool(content.biases),
        "lora_dropout": 0.0,
        "modules_to_save": sorted(content.saved_modules) or None,
        "peft_type": "LORA",
        "r": usual,
        "rank_pattern": others,
        "target_modules": _targets(content),
        "task_type": content.task_type,
        "use_dora": False,
        "use_rslora": False,
    }


def _targets(content: AdapterContent) -> list[str] | str:
    if isinstance(content.targets, str) and content.targets:
        return content.targets
    return sorted(content.targets or content.factors)
