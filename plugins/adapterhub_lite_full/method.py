"""Full and partial fine-tuning."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch

from adapterhub_lite.architecture import Architecture
from adapterhub_lite.errors import CapabilityError, nearest_name
from adapterhub_lite.protocols import Attached, LoadedBase
from adapterhub_lite.specs import Head
from adapterhub_lite.transformer import empty_model, layer_stacks
from adapterhub_lite_full import FullParams
from adapterhub_lite_full.folder import save_folder


class Full:
    """The base's own weights learn; the artifact is a whole model, its frozen part shared."""

    def check(self, architecture: Architecture, head: Head, params: FullParams) -> Sequence[str]:
        """Refuse more layers than the base has, and names that match no weight."""
        if isinstance(params.layers, int) and params.layers > architecture.layers:
            return [f"it asks for {params.layers} layers, and the base has {architecture.layers}"]
        if params.layers not in ("all", 0) and not architecture.layer_prefix:
            return ["the base's layers cannot be told apart; train the whole model: layers: all"]
        names = _names(empty_model(architecture.folder, head).model) if params.parameters else []
        return [_unmatched(pattern, names) for pattern in params.parameters
                if not any(_matches(name, pattern) for name in names)]  # fmt: skip

    def count_trainable(self, architecture: Architecture, head: Head, params: FullParams) -> int:
        """Count the chosen weights of a model on the meta device."""
        base = empty_model(architecture.folder, head)
        trainable = self.attach(base, params).trainable
        return sum(p.numel() for name, p in base.model.named_parameters() if name in trainable)

    def attach(self, base: LoadedBase, params: FullParams) -> Attached:
        """Let exactly the chosen weights, and a new head's, require a gradient."""
        starts = tuple(f"{name}." for name in base.new)
        chosen = _chosen(base.model, params)
        names = chosen | {name for name in _names(base.model) if name.startswith(starts)}
        for name, parameter in base.model.named_parameters():
            parameter.requires_grad_(name in names)
        return Attached(base.model, base.tokenizer, base.path, frozenset(names), base.head)

    def save(self, attached: Attached, folder: Path) -> None:
        """Write a folder for ``from_pretrained``."""
        save_folder(attached, folder)

    def load(self, base: LoadedBase, folder: Path) -> LoadedBase:
        """Return the base: it was loaded from the folder, which holds the whole model."""
        return base

    def bake(self, base: LoadedBase, folder: Path) -> LoadedBase:
        """Refuse: there is nothing to merge."""
        raise CapabilityError("the version is a whole model already", hint="see: ahl checkout")


def _names(model: torch.nn.Module) -> list[str]:
    return [name for name, _ in model.named_parameters()]


def _chosen(model: torch.nn.Module, params: FullParams) -> set[str]:
    names = _names(model)
    if params.parameters:
        return {name for name in names if any(_matches(name, p) for p in params.parameters)}
    if params.layers == "all":
        return set(names)
    starts = tuple(
        f"{prefix}.{layer}."
        for prefix, layers in layer_stacks(model)
        for layer in range(len(layers) - params.layers, len(layers))
    )
    return {name for name in names if name.startswith(starts)}


def _matches(name: str, pattern: str) -> bool:
    """Match a weight's name; what a head puts before it ("bert.") may be left out."""
    return fnmatchcase(name, pattern) or fnmatchcase(name.partition(".")[2], pattern)


def _unmatched(pattern: str, names: Sequence[str]) -> str:
    near = nearest_name(pattern, names) or names[-1]
    return f"no weight is called {pattern!r}; there is {near!r}, for example"
