"""How the conformance kit checks what PEFT's plugin offers: parameters and folders 32 wide."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.specs import ConformanceCase

FITTING: Final[Mapping[str, Mapping[str, Any]]] = {
    "adamss": {"r": 16, "num_subspaces": 2},
    "adaption-prompt": {"adapter_len": 4},
    "boft": {"boft_block_size": 4},
    "c3a": {"block_size": 8},
    "delora": {"delora_lambda": 1},
    "fourierft": {"n_frequency": 20},
    "miss": {"r": 8},
    "oft": {"oft_block_size": 4},
    "road": {"group_size": 16},
    "shira": {"r": 4},
    "trainable-tokens": {"token_indices": list(range(5, 40))},
    "vblora": {"vector_length": 8, "num_vectors": 16},
    "waveft": {"n_frequency": 20},
    **{name: {"num_virtual_tokens": 4} for name in ("prefix", "prompt", "p-tuning", "cartridge")},
}
"""Method → parameters where PEFT's defaults are for wider layers."""


def write_adapters_folder(folder: Path) -> None:
    """Write what AdapterHub's ``adapters`` saves of a LoRA on a tiny BERT, into an empty folder."""
    import torch
    from safetensors.torch import save_file

    about = {
        "model_type": "bert",
        "model_name": "tiny",
        "name": "lora",
        "version": "adapters.1.2.0",
    }
    head = {"head_type": "classification", "layers": 2, "activation_function": "tanh"}
    method = {"architecture": "lora", "r": 2, "alpha": 4}
    for name, config in (("adapter_config.json", method), ("head_config.json", head)):
        text = json.dumps({**about, "config": config})
        (folder / name).write_text(text, encoding="utf-8")
    place = "bert.encoder.layer.0.attention.self.query.loras.lora"
    factors = {f"{place}.lora_A": torch.ones(2, 32), f"{place}.lora_B": torch.ones(32, 2)}
    layers = {"1": torch.eye(32), "4": torch.ones(2, 32)}
    weights = {f"heads.lora.{number}.weight": layer for number, layer in layers.items()}
    biases = {
        f"heads.lora.{number}.bias": torch.zeros(len(layer)) for number, layer in layers.items()
    }
    save_file(factors, folder / "adapter.safetensors")
    save_file({**weights, **biases}, folder / "model_head.safetensors")


CASES: Final = (
    *(
        ConformanceCase(kind="method", name=name, params=params)
        for name, params in sorted(FITTING.items())
    ),
    ConformanceCase(
        kind="importer",
        name="adapters",
        params={"example": f"{__name__}:{write_adapters_folder.__name__}"},
    ),
)
