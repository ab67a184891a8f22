"""A base without weights: its modules on torch's meta device, as its config describes them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers.pytorch_utils import Conv1D


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leave torch's global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        yield


def linear_sizes(model: torch.nn.Module) -> dict[str, tuple[int, int]]:
    """Return the inputs and outputs of every linear layer, quantised ones too, by name."""
    sizes = {}
    for name, module in model.named_modules():
        if isinstance(module, Conv1D):
            sizes[name] = (int(module.nx), int(module.nf))
        elif isinstance(module, torch.nn.Linear):
            sizes[name] = (module.in_features, module.out_features)
    return sizes
