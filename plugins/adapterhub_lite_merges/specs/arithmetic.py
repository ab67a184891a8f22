"""Weighted sums of models, and of task vectors."""

from typing import Final

from pydantic import Field

from adapterhub_lite.specs import MergeSpec, Params

IMPLEMENTATION: Final = "adapterhub_lite_merges.arithmetic"


class ModelWeight(Params):
    """What each model of a weighted merge is given."""

    weight: float = Field(default=1.0, description="How much the model counts")


class LinearParams(Params):
    """A weighted mean, or sum."""

    normalize: bool = Field(default=True, description="Divide by the sum of the weights")


class TaskArithmeticParams(Params):
    """A sum of task vectors."""

    normalize: bool = Field(default=False, description="Divide by the sum of the weights")
    scale: float = Field(default=1.0, alias="lambda", description="Factor of the whole sum")


SPECS: Final = (
    MergeSpec(
        name="linear",
        summary="The weighted mean of the models.",
        formula="θ = Σ wᵢθᵢ / Σ wᵢ",
        paper="https://arxiv.org/abs/2203.05482",
        implementation=f"{IMPLEMENTATION}:Linear",
        params=LinearParams,
        model_params=ModelWeight,
        base="unused",
        capabilities=frozenset({"commutative", "linear"}),
    ),
    MergeSpec(
        name="task_arithmetic",
        summary="The base plus a weighted sum of task vectors.",
        formula="θ = θ₀ + λ Σ wᵢδᵢ",
        paper="https://arxiv.org/abs/2212.04089",
        implementation=f"{IMPLEMENTATION}:TaskArithmetic",
        params=TaskArithmeticParams,
        model_params=ModelWeight,
        capabilities=frozenset({"commutative", "linear", "delta"}),
    ),
)
