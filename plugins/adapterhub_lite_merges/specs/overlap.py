"""Task vectors by what they have in common and what is one model's alone."""

from typing import Final

from pydantic import Field

from adapterhub_lite.specs import MergeSpec, Params

IMPLEMENTATION: Final = "adapterhub_lite_merges.overlap"
RAM: Final = "https://arxiv.org/abs/2601.13572"


class RamParams(Params):
    """What counts as changed."""

    epsilon: float = Field(
        default=1e-5, ge=0.0, description="A smaller difference from the base is none"
    )


class RamPlusParams(RamParams):
    """What is one model's alone is strengthened."""

    r: float = Field(default=0.1, ge=0.0, description="How much overlap strengthens the rest")
    alpha: float = Field(default=0.2, ge=0.0, description="The overlap that counts at most")


SPECS: Final = (
    MergeSpec(
        name="ram",
        summary="Averages what several models changed, keeps what one alone did.",
        formula="θ = θ₀ + Σ δᵢmᵢ / max(1, Σ mᵢ),  mᵢ = [|δᵢ| > ε]",
        paper=RAM,
        implementation=f"{IMPLEMENTATION}:Ram",
        params=RamParams,
        capabilities=frozenset({"commutative", "delta"}),
    ),
    MergeSpec(
        name="ramplus",
        summary="RAM that strengthens what one model alone changed.",
        formula="as ram, but δᵢ·(1 + r·min(ρᵢ, α)) where mᵢ alone is 1;  "
        "ρᵢ = model i's shared entries / its unique ones",
        paper=RAM,
        implementation=f"{IMPLEMENTATION}:RamPlus",
        params=RamPlusParams,
        capabilities=frozenset({"commutative", "whole-model", "delta"}),
    ),
    MergeSpec(
        name="ramplus_tl",
        summary="RAM+ that counts the overlap in each tensor, as in mergekit.",
        formula="as ramplus, with the ρᵢ of each tensor",
        paper=RAM,
        implementation=f"{IMPLEMENTATION}:LocalRamPlus",
        params=RamPlusParams,
        capabilities=frozenset({"commutative", "delta"}),
    ),
)
