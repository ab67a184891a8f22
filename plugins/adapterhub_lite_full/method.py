"""Full and partial fine-tuning."""

from collections.abc import Sequence
from pathlib import Path

import torch

from adapterhub_lite.architecture import Architecture
from adapterhub_lite.protocols import Attached, LoadedBase
from adapterhub_lite.transformer import layer_stack, load_transformer
from adapterhub_lite_full import FullParams
from adapterhub_lite_full.folder import save_folder


class Full:
    """The base's own weights learn; the artifact is a whole model, its frozen part shared."""

    def check(self, architecture: Architecture, params: FullParams) -> Sequence[str]:
        """Refuse more layers than the base has, and to part layers that share their weights."""
        if params.layers != "all" and params.layers > architecture.layers:
            return [f"it asks for {params.layers} layers, and the base has {architecture.layers}"]
        if params.layers != "all" and not architecture.layer_prefix:
            return ["the base's layers cannot be told apart; train the whole model: layers: all"]
        return []

    def count_trainable(self, architecture: Architecture, params: FullParams) -> int:
        """Count the parameters of the chosen layers, from the tensor headers."""
        if params.layers == "all":
            return architecture.parameters
        top = range(architecture.layers - params.layers, architecture.layers)
        return sum(architecture.layer_parameters(layer) for layer in top)

    def attach(self, base: LoadedBase, params: FullParams) -> Attached:
        """Let exactly the chosen weights require a gradient."""
        names = {name for name, _ in base.model.named_parameters()}
        if params.layers != "all":
            prefix, layers = layer_stack(base.model)
            top = range(len(layers) - params.layers, len(layers))
            starts = tuple(f"{prefix}.{layer}." for layer in top)
            names = {name for name in names if name.startswith(starts)}
        for name, parameter in base.model.named_parameters():
            parameter.requires_grad_(name in names)
        return Attached(base.model, base.tokenizer, base.path, frozenset(names))

    def save(self, attached: Attached, folder: Path) -> None:
        """Write a folder for ``from_pretrained``."""
        save_folder(attached, folder)

    def load(self, folder: Path, device: str) -> LoadedBase:
        """Load the folder that was saved."""
        return load_transformer(folder, torch.float32, device)
