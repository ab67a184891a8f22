"""Merges of LoRA adapters as factors, without a dense matrix."""

from typing import Final, Literal

from pydantic import Field

from adapterhub_lite.specs import MergeSpec, NoParams, Params
from adapterhub_lite_merges.specs.arithmetic import ModelWeight

IMPLEMENTATION: Final = "adapterhub_lite_merges.lowrank"


class KnotsWeight(ModelWeight):
    """What each adapter of a KnOTS merge is given."""

    density: float = Field(
        default=1.0, gt=0, le=1, description="Share of its block that ties keeps, the largest"
    )


class KnotsParams(Params):
    """How the aligned blocks are merged."""

    merge: Literal["ties", "linear"] = Field(
        default="ties", description="Elect signs and average those that agree, or sum"
    )
    normalize: bool = Field(
        default=True, description="ties: divide by the weights of those that agree"
    )
    scale: float = Field(default=1.0, alias="lambda", description="Factor of the merged update")
    tolerance: float = Field(
        default=1e-4,
        ge=0,
        lt=1,
        description="Drop directions whose singular value is below this share of the largest",
    )


SPECS: Final = (
    MergeSpec(
        name="cat",
        summary="The exact sum of LoRA updates, their factors stacked.",
        formula="ΔW = Σ wᵢsᵢBᵢAᵢ = [w₁s₁B₁ … wₙsₙBₙ] [A₁; …; Aₙ], of rank Σrᵢ",
        paper="https://arxiv.org/abs/2106.09685",
        implementation=f"{IMPLEMENTATION}:Cat",
        params=NoParams,
        model_params=ModelWeight,
        base="optional",
        capabilities=frozenset({"commutative", "linear", "low-rank"}),
    ),
    MergeSpec(
        name="svd",
        summary="The best approximation of the sum of LoRA updates of a given rank.",
        formula="ΔW = SVDᵣ(Σ wᵢsᵢBᵢAᵢ), by QR of the stacked factors and SVD of their core",
        paper="https://doi.org/10.1007/BF02288367",
        implementation=f"{IMPLEMENTATION}:Svd",
        params=NoParams,
        model_params=ModelWeight,
        base="optional",
        capabilities=frozenset({"commutative", "low-rank"}),
    ),
    MergeSpec(
        name="linear-exact",
        summary="The exact sum of LoRA updates, of the least rank that loses nothing.",
        formula="ΔW = Σ wᵢsᵢBᵢAᵢ, of its own rank",
        paper="https://arxiv.org/abs/2106.09685",
        implementation=f"{IMPLEMENTATION}:LinearExact",
        params=NoParams,
        model_params=ModelWeight,
        base="optional",
        capabilities=frozenset({"commutative", "linear", "low-rank"}),
    ),
    MergeSpec(
        name="knots",
        summary="Aligns LoRA updates by a joint SVD, and merges them there.",
        formula="[ΔW₁ … ΔWₙ] = UΣ[V₁ … Vₙ]ᵀ; ΔW = λUΣ·merge(V₁ᵀ … Vₙᵀ)",
        paper="https://arxiv.org/abs/2410.19735",
        implementation=f"{IMPLEMENTATION}:Knots",
        params=KnotsParams,
        model_params=KnotsWeight,
        base="optional",
        capabilities=frozenset({"commutative", "low-rank"}),
    ),
)
