"""my-plugin: a loader that computes in float32 with weights rounded to bfloat16.

It shows what a deployment in 16 bits will compute with, on a processor that has no such arithmetic.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import Head, LoaderSpec, NoParams, ResolvedBase

if TYPE_CHECKING:
    from adapterhub_lite.protocols import LoadedBase


@hookimpl
def adapterhub_loaders() -> Iterable[LoaderSpec]:
    """Offer the loader; its bytes are for the memory estimate."""
    yield LoaderSpec(
        name="my-loader",
        summary="Weights rounded to bfloat16, arithmetic in float32.",
        implementation="my_plugin:MyLoader",
        bytes_per_parameter=4.0,
    )


class MyLoader:
    """Rounds what the base's files hold; a new head keeps all its bits."""

    def load(self, base: ResolvedBase, head: Head, params: NoParams, device: str) -> LoadedBase:
        """Load the model that ``head`` names and its tokenizer, in evaluation mode."""
        import torch

        from adapterhub_lite.transformer import load_transformer

        loaded = load_transformer(Path(base.path), head, torch.float32, device)
        new = tuple(f"{name}." for name in loaded.new)
        with torch.no_grad():
            for name, weight in loaded.model.named_parameters():
                if not name.startswith(new):
                    weight.copy_(weight.bfloat16())
        return loaded

    def dequantise(self, base: LoadedBase) -> LoadedBase:
        """Return a copy: its weights are floating point already."""
        return replace(base, model=copy.deepcopy(base.model))
