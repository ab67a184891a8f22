"""Task vectors of which each place takes what tells most: by variance, size or agreement."""

from typing import Final

from pydantic import Field

from adapterhub_lite.specs import MergeSpec, Params

IMPLEMENTATION: Final = "adapterhub_lite_merges.selecting"


class SceParams(Params):
    """SCE: select, calculate, erase."""

    select_topk: float = Field(
        default=1.0,
        gt=0.0,
        le=1.0,
        description="The share kept of each tensor's entries that differ between the models",
    )
    int8_mask: bool = Field(
        default=False,
        description="Accepted from mergekit's recipes; has no effect, as masks are never stored",
    )


class MagMaxParams(Params):
    """The entries of largest magnitude."""

    scale: float = Field(default=0.5, alias="lambda", description="Factor of what was selected")


class ConsensusParams(Params):
    """Task arithmetic of what several models need."""

    mask_threshold: float = Field(
        default=0.6,
        ge=0.0,
        description="A model needs an entry that exceeds this multiple of what the others sum to",
    )
    k: int = Field(default=2, ge=1, description="Keep an entry that at least k models need")
    scale: float = Field(default=1.0, alias="lambda", description="Factor of the whole sum")


SPECS: Final = (
    MergeSpec(
        name="sce",
        summary="The entries that vary most, weighted by each model's energy, without minorities.",
        formula="s = sgn Σ δᵢ,  wᵢ ∝ mean(δᵢ²);  θ = θ₀ + Σ wᵢmᵢδᵢ / Σ wᵢmᵢ,  mᵢ = [sgn δᵢ = s]",
        paper="https://arxiv.org/abs/2408.07990",
        implementation=f"{IMPLEMENTATION}:Sce",
        params=SceParams,
        capabilities=frozenset({"commutative", "delta"}),
    ),
    MergeSpec(
        name="magmax",
        summary="At each place the task vector of the largest magnitude.",
        formula="θ = θ₀ + λ δₘ,  m = argmaxᵢ |δᵢ|",
        paper="https://arxiv.org/abs/2407.06322",
        implementation=f"{IMPLEMENTATION}:MagMax",
        params=MagMaxParams,
        capabilities=frozenset({"commutative", "delta"}),
    ),
    MergeSpec(
        name="consensus_ta",
        summary="The sum of task vectors where several models need it (TALL masks).",
        formula="τ = Σ δᵢ,  mᵢ = [|δᵢ| > t·|τ - δᵢ|];  θ = θ₀ + λ τ·[Σ mᵢ ≥ k]",
        paper="https://arxiv.org/abs/2405.07813",
        implementation=f"{IMPLEMENTATION}:ConsensusTaskArithmetic",
        params=ConsensusParams,
        capabilities=frozenset({"commutative", "delta"}),
    ),
)
