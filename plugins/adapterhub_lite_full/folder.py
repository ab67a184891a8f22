"""Write a model folder in two shards: what was frozen, and what learned.

The frozen shard is the same bytes in every version trained on the same layers of the same base, so
a content-addressed store keeps it once; ``from_pretrained`` reads shards through the index.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from adapterhub_lite.protocols import Attached
from adapterhub_lite.transformer import quiet_transformers


def save_folder(attached: Attached, folder: Path) -> None:
    """Write config, tokenizer and weights of a model into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    config: Any = attached.model.config
    with quiet_transformers():
        config.save_pretrained(folder)
        attached.tokenizer.save_pretrained(folder)
    state = _untied_state(attached.model)
    frozen = {name: tensor for name, tensor in state.items() if name not in attached.trainable}
    learned = {name: tensor for name, tensor in state.items() if name in attached.trainable}
    _write_shards([shard for shard in (frozen, learned) if shard], folder)


def _untied_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the model's tensors on the CPU, each storage once: a tied copy is not written."""
    seen: set[int] = set()
    state = {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() in seen:
            continue
        seen.add(tensor.data_ptr())
        state[name] = tensor.detach().cpu().contiguous()
    return state


def _write_shards(shards: list[dict[str, torch.Tensor]], folder: Path) -> None:
    if len(shards) == 1:
        save_file(shards[0], folder / "model.safetensors", metadata={"format": "pt"})
        return
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file(shard, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(shard, file)
    total = sum(tensor.nbytes for shard in shards for tensor in shard.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    text = json.dumps(index, indent=2) + "\n"
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")
