"""Tiny models that differ from one another, as folders, and references in float64."""

import functools
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from adapterhub_lite.testing import write_tiny_model

State = dict[str, torch.Tensor]


@functools.cache
def _made(kind: str, settings: tuple[tuple[str, Any], ...]) -> Path:
    place = Path(tempfile.mkdtemp(prefix="adapterhub-tests-")) / kind
    write_tiny_model(place, kind, **dict(settings))
    return place


def write_model(
    folder: Path,
    seed: int,
    kind: str = "llama",
    dtype: torch.dtype = torch.float32,
    **settings: Any,
) -> Path:
    """Write a tiny model whose weights are the kind's own plus noise of the seed."""
    template = _made(kind, tuple(sorted(settings.items())))
    folder.mkdir(parents=True)
    for file in template.iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    generator = torch.Generator().manual_seed(seed)
    state = {
        name: value + 0.1 * torch.randn(value.shape, generator=generator)
        for name, value in sorted(load_file(template / "model.safetensors").items())
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def read_state(folder: Path) -> State:
    """Read all tensors of a model folder, from one file or from shards."""
    state: State = {}
    for file in sorted(folder.glob("*.safetensors")):
        state |= load_file(file)
    return state


def doubles(folder: Path) -> State:
    """Read all tensors in float64."""
    return {name: value.double() for name, value in read_state(folder).items()}
