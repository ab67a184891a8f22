"""Model stock: fine-tuned models averaged, and drawn towards what they were trained from."""

from typing import Final

from pydantic import Field

from adapterhub_lite.specs import MergeSpec, Params


class ModelStockParams(Params):
    """How many ratios a tensor has."""

    filter_wise: bool = Field(
        default=False, description="A ratio for each row of a matrix instead of one for the tensor"
    )


SPECS: Final = (
    MergeSpec(
        name="model_stock",
        summary="The mean of fine-tuned models, drawn to the base the more they disagree.",
        formula="θ = t·mean θᵢ + (1−t)·θ₀, t = N·c/(1+(N−1)·c), c = mean cos ∠(δᵢ, δⱼ)",
        paper="https://arxiv.org/abs/2403.19522",
        implementation="adapterhub_lite_merges.stock:ModelStock",
        params=ModelStockParams,
        models=(2, 0),
        capabilities=frozenset({"commutative", "delta"}),
    ),
)
