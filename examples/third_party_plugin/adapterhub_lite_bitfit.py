"""BitFit: fine-tuning that trains the biases only (Ben Zaken et al., 2021).

Of a BERT that is a thousandth of the parameters. With few rows it comes near full fine-tuning, and
a version is some hundred kilobytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ConformanceCase, Head, MethodSpec, Params

if TYPE_CHECKING:
    from torch import nn

    from adapterhub_lite.architecture import Architecture
    from adapterhub_lite.protocols import Attached, LoadedBase

PAPER = "https://arxiv.org/abs/2106.10199"


class BitFitParams(Params):
    """Which biases learn."""

    modules: list[str] = Field(
        default=[],
        description="Only biases of modules whose names end so, like query or intermediate.dense; "
        "empty: all",
    )


@hookimpl
def adapterhub_methods() -> Iterable[MethodSpec]:
    """Offer the method."""
    yield MethodSpec(
        name="bitfit",
        summary="Train the biases only.",
        implementation="adapterhub_lite_bitfit:BitFit",
        paper=PAPER,
        params=BitFitParams,
        capabilities=frozenset({"identity-at-init", "bake", "gradient-checkpointing"}),
        families=frozenset({"encoder", "decoder"}),
        learning_rate=1e-3,
    )


@hookimpl
def adapterhub_conformance() -> Iterable[ConformanceCase]:
    """Say which check cannot pass, for everybody who runs ``ahl plugins check``."""
    reason = "decoders are tried on a Llama, which has no biases; GPT-2 and OPT have"
    yield ConformanceCase(
        kind="method",
        name="bitfit",
        expected_failures={"check_refusals_are_told_before": reason},
    )


class BitFit:
    """Trains biases of the base itself, and saves those alone."""

    def check(self, architecture: Architecture, head: Head, params: BitFitParams) -> Sequence[str]:
        """Refuse a base without biases, like Llama, and endings that no bias has."""
        from adapterhub_lite.transformer import empty_model

        base = empty_model(architecture.folder, head)
        names = [name for name, _ in base.model.named_parameters() if _is_bias(name)]
        if not [name for name in names if not name.startswith(base.new)]:
            return ["the base has no biases to train; the method lora works"]
        return [
            f"no bias belongs to a module whose name ends with {ending!r}"
            for ending in params.modules
            if not any(_belongs(name, ending) for name in names)
        ]

    def count_trainable(self, architecture: Architecture, head: Head, params: BitFitParams) -> int:
        """Count on a model without its weights."""
        from adapterhub_lite.transformer import empty_model

        base = empty_model(architecture.folder, head)
        trainable = self.attach(base, params).trainable
        return sum(p.numel() for name, p in base.model.named_parameters() if name in trainable)

    def attach(self, base: LoadedBase, params: BitFitParams) -> Attached:
        """Let the biases learn, and the layers that the head added."""
        from adapterhub_lite.tuners.selected import train_only

        def chosen(name: str, parameter: nn.Parameter) -> bool:
            wanted = not params.modules or any(_belongs(name, end) for end in params.modules)
            return wanted and _is_bias(name)

        return train_only(base, chosen)

    def save(self, attached: Attached, folder: Path) -> None:
        """Write the biases and the head, and the tokenizer."""
        from adapterhub_lite.tuners.selected import save_trained

        save_trained(attached, folder)

    def load(self, base: LoadedBase, folder: Path) -> LoadedBase:
        """Put the biases into a fresh base."""
        from adapterhub_lite.tuners.selected import load_trained

        return load_trained(base, folder)

    def bake(self, base: LoadedBase, folder: Path) -> LoadedBase:
        """Do the same: the biases are the base's own."""
        return self.load(base, folder)


def _is_bias(name: str) -> bool:
    return name.rpartition(".")[2] == "bias"


def _belongs(name: str, ending: str) -> bool:
    """Say whether a parameter's module has a name that ends so, in whole words."""
    return f".{name.rpartition('.')[0]}".endswith(f".{ending}")
