"""Models as points on a sphere: means and ways between them that keep the norm."""

from typing import Final

from pydantic import Field

from adapterhub_lite.specs import MergeSpec, Params
from adapterhub_lite_merges.specs.arithmetic import ModelWeight

IMPLEMENTATION: Final = "adapterhub_lite_merges.spherical"
SLERP: Final = "https://doi.org/10.1145/325334.325242"
KARCHER: Final = "https://doi.org/10.1002/cpa.3160300502"


class SlerpParams(Params):
    """Where between two models."""

    t: float = Field(
        ge=0.0, le=1.0, description="0 is the first model, or the base; 1 is the other"
    )


class NuslerpParams(Params):
    """What is one vector of a tensor."""

    flatten: bool = Field(
        default=True, alias="nuslerp_flatten", description="One angle for a whole tensor"
    )
    row_wise: bool = Field(
        default=False,
        alias="nuslerp_row_wise",
        description="If not flattened: an angle for each column of the stored matrix, which is"
        " what mergekit computes under this name, instead of one for each row",
    )


class MultislerpParams(Params):
    """How models count, and what is no direction."""

    normalize_weights: bool = Field(default=True, description="Divide by the sum of the weights")
    eps: float = Field(
        default=1e-8,
        gt=0.0,
        description="Below this norm the directions cancel out, and the weighted sum is taken",
    )


class KarcherParams(Params):
    """When the iteration ends."""

    max_iter: int = Field(default=10, ge=1, description="Most steps that are taken")
    tol: float = Field(default=1e-5, gt=0.0, description="The length of a step that is the last")


SPECS: Final = (
    MergeSpec(
        name="slerp",
        summary="A point on the arc between two models.",
        formula="θ = (sin((1−t)φ)·θ₁ + sin(tφ)·θ₂)/sin φ, φ = ∠(θ₁, θ₂); a line if |cos φ| > .9995",
        paper=SLERP,
        implementation=f"{IMPLEMENTATION}:Slerp",
        params=SlerpParams,
        base="optional",
        models=(1, 2),
    ),
    MergeSpec(
        name="nuslerp",
        summary="slerp of two models, or task vectors, by weights.",
        formula="slerp at t = w₂/(w₁+w₂), of θ or θ₀ + of δ; for tensors, rows or columns",
        paper=SLERP,
        implementation=f"{IMPLEMENTATION}:Nuslerp",
        params=NuslerpParams,
        model_params=ModelWeight,
        base="optional",
        models=(2, 2),
        capabilities=frozenset({"commutative", "delta"}),
    ),
    MergeSpec(
        name="multislerp",
        summary="The weighted mean direction of models, or task vectors, at their mean norm.",
        formula="θ = Σ wᵢ‖θᵢ‖ · m/‖m‖, m = Σ wᵢθᵢ/‖θᵢ‖; θ₀ + that of δ",
        implementation=f"{IMPLEMENTATION}:Multislerp",
        params=MultislerpParams,
        model_params=ModelWeight,
        base="optional",
        models=(2, 0),
        capabilities=frozenset({"commutative", "delta"}),
    ),
    MergeSpec(
        name="karcher",
        summary="The mean of the models' directions on the sphere, at their mean norm.",
        formula="θ = mean ‖θᵢ‖ · argmin Σ ∠(u, θᵢ)² over ‖u‖ = 1",
        paper=KARCHER,
        implementation=f"{IMPLEMENTATION}:Karcher",
        params=KarcherParams,
        base="unused",
        models=(2, 0),
        capabilities=frozenset({"commutative"}),
    ),
)
