"""STAR for adapterhub-lite: task vectors without their weak singular directions (Lee et al., 2025).

Spectral Truncation And Rescale cuts the small singular values of each task vector, where models
are in each other's way, and scales the others up so that the nuclear norm stays what it was. The
mean of what is left is added to the base: https://arxiv.org/abs/2502.10339.

This module is loaded by every command, so it imports torch where it computes and not before.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ConformanceCase, MergeSpec, Params

if TYPE_CHECKING:
    import torch

    from adapterhub_lite.streaming.tensors import MergeTensor


class StarParams(Params):
    """Where the spectrum is cut."""

    eta: float = Field(
        default=40.0,
        gt=0.0,
        le=100.0,
        description="Percent of the nuclear norm that the directions which are kept have at least",
    )


class StarModel(Params):
    """What each model is given."""

    weight: float = Field(default=1.0, description="How much the model counts")


class Star:
    """θ₀ + Σ wᵢ·star(δᵢ) / Σ wᵢ, matrix by matrix; of all else the task vectors are averaged."""

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Refuse weights that sum to zero."""
        total = sum(model.weight for model in models)
        return ["the weights sum to zero"] if abs(total) < 1e-12 else []

    def merge(self, tensor: "MergeTensor") -> None:
        """Write the base and the mean of the truncated task vectors."""
        weights = [model.weight for model in tensor.model_params]
        is_matrix = tensor.is_matrix and len(tensor.shape) == 2
        for chunk in [tensor.whole()] if is_matrix else tensor.chunks():
            merged = chunk.base.double()
            for number, weight in enumerate(weights):
                delta = chunk.delta(number).double()
                if is_matrix:
                    delta = star(delta, tensor.params.eta)
                merged.add_(delta, alpha=weight / sum(weights))
            chunk.write(merged.float())


def star(delta: "torch.Tensor", eta: float) -> "torch.Tensor":
    """Return a matrix of the fewest leading directions that have ``eta`` % of the nuclear norm.

    They are scaled up to the whole of it. A matrix of zeros is returned as it is.
    """
    import torch

    left, values, right = torch.linalg.svd(delta, full_matrices=False)
    total = values.sum()
    if not total > 0:
        return delta
    enough = values.cumsum(0) >= total * (eta / 100)
    # where rounding leaves the last sum short of the total, all directions are kept
    rank = int(enough.int().argmax()) + 1 if bool(enough.any()) else len(values)
    kept = values[:rank] * (total / values[:rank].sum())
    return (left[:, :rank] * kept) @ right[:rank]


@hookimpl
def adapterhub_merge_strategies() -> Iterable[MergeSpec]:
    """Offer ``star``."""
    yield MergeSpec(
        name="star",
        summary="Task vectors without their weak singular directions, averaged.",
        formula="θ = θ₀ + mean UᵣΣᵣVᵣᵀ·(Σσ / Σᵣσ),  r = min {r: Σᵣσ ≥ η % of Σσ},  UΣVᵀ = δᵢ",
        paper="https://arxiv.org/abs/2502.10339",
        implementation="adapterhub_lite_star:Star",
        params=StarParams,
        model_params=StarModel,
        capabilities=frozenset({"commutative", "delta", "whole-tensor"}),
    )


@hookimpl
def adapterhub_conformance() -> Iterable[ConformanceCase]:
    """Say that at the default a single model does not come back."""
    why = "below η = 100 the weak directions of each task vector are cut"
    yield ConformanceCase(
        kind="strategy",
        name="star",
        expected_failures={
            "check_one_model_is_returned": why,
            "check_identical_models_are_returned": why,
        },
    )
