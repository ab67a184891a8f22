"""Two models: a base, and what of the other is worth taking."""

from typing import Final

from pydantic import Field

from adapterhub_lite.specs import MergeSpec, Params

IMPLEMENTATION: Final = "adapterhub_lite_merges.fusion"


class NearSwapParams(Params):
    """How near is near."""

    t: float = Field(
        ge=0.0, description="Entries that differ by less are taken over; the others move by t"
    )


SPECS: Final = (
    MergeSpec(
        name="nearswap",
        summary="The base moved towards the other model, each entry by t at most.",
        formula="θ = θ₀ + clip(t / |δ₁|, 0, 1)·δ₁",
        paper="https://huggingface.co/alchemonaut/QuartetAnemoi-70B-t0.0001",
        implementation=f"{IMPLEMENTATION}:NearSwap",
        params=NearSwapParams,
        models=(1, 1),
        capabilities=frozenset({"commutative", "delta"}),
    ),
    MergeSpec(
        name="arcee_fusion",
        summary="The base with those entries of the other model that matter far more than most.",
        formula="I = |δ₁|·KL(softmax θ₁ ‖ softmax θ₀) by row;  "
        "θ = θ₀ + δ₁·[I ≥ median(I) + 1.5·IQR(I)]",
        paper="https://www.arcee.ai/blog/meet-mergekit-v0-1-arcee-fusion-expanded-model-support-multi-gpu-acceleration",
        implementation=f"{IMPLEMENTATION}:ArceeFusion",
        models=(1, 1),
        capabilities=frozenset({"commutative"}),
    ),
)
