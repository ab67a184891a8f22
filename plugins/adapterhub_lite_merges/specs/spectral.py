"""Task vectors merged by their singular vectors."""

from typing import Final

from pydantic import Field

from adapterhub_lite.specs import MergeCapability, MergeSpec, Params

IMPLEMENTATION: Final = "adapterhub_lite_merges.spectral"
CAPABILITIES: Final[frozenset[MergeCapability]] = frozenset(
    {"commutative", "whole-tensor", "delta"}
)


class SpectralParams(Params):
    """How much of the merged task vector is added."""

    scale: float = Field(
        default=1.0, alias="lambda", description="Factor of the merged task vector"
    )


class IsoCtsParams(SpectralParams):
    """How directions are shared out between all tasks and each."""

    common_fraction: float = Field(
        default=0.8,
        ge=0.0,
        le=1.0,
        description="The share of directions that come from the sum of all task vectors",
    )


SPECS: Final = (
    MergeSpec(
        name="tsv",
        summary="Each task's main singular directions, made orthogonal to the others' (TSV-M).",
        formula="θ₀ + λ·U⊥ΣV⊥ᵀ, U = [U₁ … U_T], UᵢΣᵢVᵢᵀ = δᵢ to rank min(m,n)/T",
        paper="https://arxiv.org/abs/2412.00081",
        implementation=f"{IMPLEMENTATION}:TaskSingularVectors",
        params=SpectralParams,
        capabilities=CAPABILITIES,
    ),
    MergeSpec(
        name="iso_c",
        summary="The sum of task vectors with all its singular values made equal.",
        formula="θ₀ + λ·mean(σ)·UVᵀ, UΣVᵀ = Σ δᵢ",
        paper="https://arxiv.org/abs/2502.04959",
        implementation=f"{IMPLEMENTATION}:IsotropicCommon",
        params=SpectralParams,
        capabilities=CAPABILITIES,
    ),
    MergeSpec(
        name="iso_cts",
        summary="iso_c, with directions of the single tasks in place of the weakest common ones.",
        formula="θ₀ + λ·mean(σ)·U⊥V⊥ᵀ, U = [U_c U₁ … U_T], UᵢΣᵢVᵢᵀ = (I − U_cU_cᵀ)δᵢ",
        paper="https://arxiv.org/abs/2502.04959",
        implementation=f"{IMPLEMENTATION}:IsotropicCommonAndTask",
        params=IsoCtsParams,
        capabilities=CAPABILITIES,
    ),
)
