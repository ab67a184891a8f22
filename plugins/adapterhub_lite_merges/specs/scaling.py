"""Models, and task vectors, that are multiplied by a factor."""

from typing import Final

from pydantic import Field

from adapterhub_lite.specs import MergeSpec, Params
from adapterhub_lite_merges.specs.arithmetic import ModelWeight

IMPLEMENTATION: Final = "adapterhub_lite_merges.scaling"


class ExpoParams(Params):
    """Extrapolation beyond a fine-tuned model."""

    alpha: float = Field(default=0.1, description="How far beyond the model, in task vectors")


class LinesParams(Params):
    """A factor that grows with the depth of a layer."""

    alpha: float = Field(description="The factor of the first layer, and of embeddings")
    beta: float = Field(
        description="What the factor grows by up to the last layer, final norm and head"
    )


class ModelScale(Params):
    """What a model that is passed through is given."""

    scale: float = Field(default=1.0, description="Factor of its numbers")


SPECS: Final = (
    MergeSpec(
        name="expo",
        summary="Goes on from the base through the model and beyond.",
        formula="θ = θ₁ + α δ₁",
        paper="https://arxiv.org/abs/2404.16792",
        implementation=f"{IMPLEMENTATION}:Expo",
        params=ExpoParams,
        models=(1, 1),
        capabilities=frozenset({"commutative", "linear", "delta"}),
    ),
    MergeSpec(
        name="lines",
        summary="A weighted sum of task vectors that counts more in deeper layers.",
        formula="θ = θ₀ + (α + β·l / (L - 1)) Σ wᵢδᵢ  in layer l of L, from 0",
        paper="https://arxiv.org/abs/2410.17146",
        implementation=f"{IMPLEMENTATION}:Lines",
        params=LinesParams,
        model_params=ModelWeight,
        capabilities=frozenset({"commutative", "linear", "delta"}),
    ),
    MergeSpec(
        name="passthrough",
        summary="One model as it is, or times a factor.",
        formula="θ = s θ₁",
        implementation=f"{IMPLEMENTATION}:Passthrough",
        model_params=ModelScale,
        base="unused",
        models=(1, 1),
        capabilities=frozenset({"commutative", "linear"}),
    ),
)
