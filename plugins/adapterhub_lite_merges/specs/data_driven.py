"""Merges that compute with rows of data: every model is given `data`, whose labels are not read.

In memory, in 32-bit floats, are: fisher, as many numbers as each model has, and a model; regmean, a
square matrix of each linear layer of each model, and a model; adamerging, all models twice and the
base.
"""

from typing import Final, Literal

from pydantic import Field

from adapterhub_lite.specs import MergeCapability, MergeSpec, Params

IMPLEMENTATION: Final = "adapterhub_lite_merges.data_driven"
ADAPTIVE: Final = "adapterhub_lite_merges.adaptive"
WITH_DATA: Final[frozenset[MergeCapability]] = frozenset({"needs-data", "whole-model"})


class DataParams(Params):
    """How much data is computed with."""

    examples: int = Field(
        default=256, ge=1, description="Rows of each model's data that are used, drawn by the seed"
    )


class FisherModel(Params):
    """What each model of a Fisher merge is given."""

    weight: float = Field(default=1.0, gt=0.0, description="How much the model counts")


class FisherParams(DataParams):
    """A mean weighted by Fisher information."""

    normalize: bool = Field(
        default=True, description="Divide each model's information by its root mean square"
    )
    floor: float = Field(
        default=1e-6, gt=0.0, description="The least information that a number is taken to have"
    )


class RegMeanParams(DataParams):
    """A regression of every linear layer's outputs."""

    off_diagonal: float = Field(
        default=0.95, ge=0.0, le=1.0, description="Factor of the Gram matrices off their diagonals"
    )


class AdaMergingParams(DataParams):
    """Coefficients of task vectors that are learnt."""

    initial: float = Field(default=0.3, description="λ₀, where every coefficient begins")
    learning_rate: float = Field(default=1e-3, gt=0.0, description="Of Adam")
    steps: int = Field(default=1000, ge=0, description="How often the coefficients are changed")
    wise: Literal["layer", "task"] = Field(
        default="layer", description="A coefficient for each layer of each model, or each model"
    )


SPECS: Final = (
    MergeSpec(
        name="fisher",
        summary="The mean of the models, each number weighted by its Fisher information.",
        formula="θ = Σ wᵢFᵢθᵢ / Σ wᵢFᵢ, Fᵢ = E (∇ log pᵢ(y|x))², y ~ pᵢ(·|x), at least floor",
        paper="https://arxiv.org/abs/2111.09832",
        implementation=f"{IMPLEMENTATION}:Fisher",
        params=FisherParams,
        model_params=FisherModel,
        base="unused",
        capabilities=WITH_DATA | {"random"},
    ),
    MergeSpec(
        name="regmean",
        summary="Linear layers whose outputs are nearest to the models' own; the mean of all else.",
        formula="W = (Σ Gᵢ)⁻¹ Σ GᵢWᵢ, Gᵢ = XᵢᵀXᵢ per example, off its diagonal × off_diagonal",
        paper="https://arxiv.org/abs/2212.09849",
        implementation=f"{IMPLEMENTATION}:RegMean",
        params=RegMeanParams,
        base="unused",
        capabilities=WITH_DATA | {"random", "whole-tensor"},
    ),
    MergeSpec(
        name="adamerging",
        summary="Task vectors with coefficients by which the merged classifiers are most certain.",
        formula="θ = θ₀ + Σ λᵢₗδᵢₗ, λ minimises Σᵢ H(p(y|x; θ, headᵢ)) over the rows x of model i",
        paper="https://arxiv.org/abs/2310.02575",
        implementation=f"{ADAPTIVE}:AdaMerging",
        params=AdaMergingParams,
        capabilities=WITH_DATA | {"random"},
    ),
)
