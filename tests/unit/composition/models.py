"""What adapters do, computed from their files by plain torch and transformers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from adapterhub_lite import api
from adapterhub_lite.inference.loading import resolve_artifact
from adapterhub_lite.transformer import load_tokenizer, quiet_transformers
from tests.unit.composition.conftest import TEXTS

PREFIX = "base_model.model."
State = dict[str, torch.Tensor]


def folder_of(ref: str) -> Path:
    return resolve_artifact(ref, api.open_registry())[0]


def files_of(ref: str) -> tuple[dict[str, Any], State]:
    """Return an adapter's config and its tensors, by their names in the model."""
    folder = folder_of(ref)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    state = load_file(folder / "adapter_model.safetensors")
    return config, {name.removeprefix(PREFIX): value for name, value in state.items()}


def bare(base: Path, labels: int) -> Any:
    """Return a base with a head that is still to be filled, in 64 bits."""
    with quiet_transformers():
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=labels)
    return model.double().eval()


def put_head(model: Any, parts: Sequence[tuple[float, State]]) -> None:
    """Give a model the weighted sum of what adapters replace whole."""
    own = dict(model.named_parameters())
    for name in parts[0][1]:
        if name in own:
            own[name].data = sum(w * state[name].double() for w, state in parts)


def add_loras(model: Any, adapters: Mapping[str, float]) -> None:
    """Add Σ wᵢ αᵢ/rᵢ BᵢAᵢ to a model's weights."""
    own = dict(model.named_parameters())
    for ref, weight in adapters.items():
        config, state = files_of(ref)
        for name in [n for n in state if n.endswith("lora_A.weight")]:
            module = name.removesuffix(".lora_A.weight")
            up, down = state[f"{module}.lora_B.weight"].double(), state[name].double()
            scale = weight * config["lora_alpha"] / config["r"]
            own[f"{module}.weight"].data += scale * (up @ down)


def hook_bottlenecks(model: Any, refs: Mapping[str, float], *, stacked: bool) -> None:
    """Let output projections add what bottlenecks make of them, one by one or all of the same."""
    modules = dict(model.named_modules())
    files = {ref: files_of(ref) for ref in refs}
    names = [n for _, s in files.values() for n in s if n.endswith("bottleneck_down.weight")]
    for module in dict.fromkeys(name.removesuffix(".bottleneck_down.weight") for name in names):

        def change(_: Any, __: Any, y: torch.Tensor, module: str = module) -> torch.Tensor:
            total = y
            for ref, weight in refs.items():
                config, state = files[ref]
                if f"{module}.bottleneck_down.weight" in state:
                    added = bottleneck(total if stacked else y, module, config, state)
                    total = total + weight * added
            return total

        modules[module].register_forward_hook(change)


def bottleneck(y: torch.Tensor, module: str, config: Any, state: State) -> torch.Tensor:
    part = {n: state[f"{module}.bottleneck_{n}"].double() for n in PARTS}
    assert config["non_linearity"] == "relu"
    hidden = torch.relu(y @ part["down.weight"].T + part["down.bias"])
    scaling: float = config["scaling"]
    return scaling * (hidden @ part["up.weight"].T + part["up.bias"])


PARTS = ("down.weight", "down.bias", "up.weight", "up.bias")


@torch.no_grad()
def probabilities(model: Any, base: Path) -> Any:
    """Return a model's probabilities of the texts."""
    inputs = load_tokenizer(base)(list(TEXTS), return_tensors="pt", padding=True)
    return model(**inputs).logits.softmax(-1).numpy()
