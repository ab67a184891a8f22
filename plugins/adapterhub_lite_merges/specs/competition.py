"""Task vectors whose entries compete for being merged."""

from typing import Final, Literal

from pydantic import Field

from adapterhub_lite.specs import MergeSpec, Params
from adapterhub_lite_merges.specs.arithmetic import ModelWeight


class CompetitionParams(Params):
    """Who competes, and how many win."""

    density: float = Field(
        default=0.1, gt=0.0, le=1.0, description="The share of each model's entries that is kept"
    )
    scale: float = Field(default=1.0, alias="lambda", description="Factor of the whole")
    scope: Literal["tensor", "model"] = Field(
        default="model",
        description="Let the entries of each tensor compete, or of the whole model",
    )


SPECS: Final = (
    MergeSpec(
        name="pcb",
        summary="Entries compete within their model and between models; the winners are merged.",
        formula="βᵢ = softmax(n·N(δᵢ²)) · Σⱼ softmax(N(δᵢδⱼ)), 0 but for the largest share;  "
        "θ = θ₀ + λ Σ βᵢwᵢδᵢ / Σ βᵢ",
        paper="https://arxiv.org/abs/2410.02396",
        implementation="adapterhub_lite_merges.competition:ParameterCompetition",
        params=CompetitionParams,
        model_params=ModelWeight,
        capabilities=frozenset({"commutative", "whole-model", "delta"}),
    ),
)
