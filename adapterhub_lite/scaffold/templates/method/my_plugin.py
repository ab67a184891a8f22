"""my-plugin: a fine-tuning method that trains the norms of a model, and nothing else.

Replace what it trains by your own choice of parameters; the rest may stay as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import Head, MethodSpec, Params

if TYPE_CHECKING:
    from torch import nn

    from adapterhub_lite.architecture import Architecture
    from adapterhub_lite.protocols import Attached, LoadedBase


class MyMethodParams(Params):
    """What a recipe may say of the method."""

    biases: bool = Field(default=True, description="Train the norms' biases as well")


@hookimpl
def adapterhub_methods() -> Iterable[MethodSpec]:
    """Offer the method."""
    yield MethodSpec(
        name="my-method",
        summary="Train the layer norms only.",
        implementation="my_plugin:MyMethod",
        paper="https://arxiv.org/abs/2205.12556",
        params=MyMethodParams,
        capabilities=frozenset({"identity-at-init", "bake", "gradient-checkpointing"}),
        learning_rate=1e-3,
    )


class MyMethod:
    """Trains parameters of the base itself, and saves those alone.

    The imports stand in the functions: every command loads this module, and few need torch.
    """

    def check(
        self, architecture: Architecture, head: Head, params: MyMethodParams
    ) -> Sequence[str]:
        """Refuse a base without norms."""
        if self.count_trainable(architecture, head, params):
            return []
        return ["the base has no norm whose name ends with 'norm'"]

    def count_trainable(
        self, architecture: Architecture, head: Head, params: MyMethodParams
    ) -> int:
        """Count on a model without its weights."""
        from adapterhub_lite.transformer import empty_model

        base = empty_model(architecture.folder, head)
        trainable = self.attach(base, params).trainable
        return sum(p.numel() for name, p in base.model.named_parameters() if name in trainable)

    def attach(self, base: LoadedBase, params: MyMethodParams) -> Attached:
        """Let the norms learn, and the layers that the head added."""
        from adapterhub_lite.tuners.selected import train_only

        def chosen(name: str, parameter: nn.Parameter) -> bool:
            module, _, kind = name.rpartition(".")
            return module.lower().endswith("norm") and (params.biases or kind != "bias")

        return train_only(base, chosen)

    def save(self, attached: Attached, folder: Path) -> None:
        """Write what was learnt, and the tokenizer."""
        from adapterhub_lite.tuners.selected import save_trained

        save_trained(attached, folder)

    def load(self, base: LoadedBase, folder: Path) -> LoadedBase:
        """Put what was learnt into a fresh base."""
        from adapterhub_lite.tuners.selected import load_trained

        return load_trained(base, folder)

    def bake(self, base: LoadedBase, folder: Path) -> LoadedBase:
        """Do the same: the parameters are the base's own."""
        return self.load(base, folder)
