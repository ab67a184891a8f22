"""my-plugin: a merge strategy that takes the median of the models, number by number.

Replace what ``merge`` computes of a chunk; the rest may stay as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import MergeSpec, NoParams, Params

if TYPE_CHECKING:
    from adapterhub_lite.streaming.tensors import MergeTensor


class MyStrategyParams(Params):
    """What a recipe may say of the strategy."""

    quantile: float = Field(
        default=0.5, ge=0, le=1, description="Which number of the models' is taken: 0.5, the middle"
    )


@hookimpl
def adapterhub_merge_strategies() -> Iterable[MergeSpec]:
    """Offer the strategy."""
    yield MergeSpec(
        name="my-strategy",
        summary="The median of the models, number by number.",
        formula="θ = median(θ₁ … θₙ)",
        implementation="my_plugin:MyStrategy",
        params=MyStrategyParams,
        model_params=NoParams,
        base="unused",
        capabilities=frozenset({"commutative"}),
    )


class MyStrategy:
    """Merges a tensor chunk by chunk: no model is ever in memory as a whole.

    It is called from several threads at once, so nothing is kept on ``self``.
    """

    def check(self, params: MyStrategyParams, models: Sequence[NoParams]) -> Sequence[str]:
        """Return what speaks against merging so, before a number is read."""
        return []

    def merge(self, tensor: MergeTensor) -> None:
        """Write each chunk's result once; what a chunk gives are 32-bit floats."""
        import torch

        for chunk in tensor.chunks():
            models = torch.stack(chunk.models)
            chunk.write(models.quantile(tensor.params.quantile, dim=0))
