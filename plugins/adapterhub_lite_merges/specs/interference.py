"""Merged task vectors that are optimised so that tasks disturb each other little."""

from typing import Final

from pydantic import Field

from adapterhub_lite.specs import MergeSpec, Params


class WudiParams(Params):
    """How long and how fast the merged task vector is optimised."""

    iterations: int = Field(default=400, ge=0, description="Steps of Adam")
    learning_rate: float = Field(
        default=1e-5, gt=0.0, description="How far a step moves a weight, at most about so far"
    )


SPECS: Final = (
    MergeSpec(
        name="wudi",
        summary="The task vector that disturbs each task least, on that task's own directions.",
        formula="θ₀ + argmin_τ Σ ‖(τ − δᵢ)δᵢᵀ‖² / ‖δᵢ‖², by Adam from τ = Σ δᵢ",
        paper="https://arxiv.org/abs/2503.08099",
        implementation="adapterhub_lite_merges.interference:Wudi",
        params=WudiParams,
        capabilities=frozenset({"commutative", "whole-tensor", "delta"}),
    ),
)
