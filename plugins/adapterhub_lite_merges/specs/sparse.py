"""Task vectors of which a part is kept, summed with or without a vote on each number's sign."""

from typing import Final, Literal

from pydantic import Field

from adapterhub_lite.specs import MergeSpec, Params
from adapterhub_lite_merges.specs.arithmetic import ModelWeight

IMPLEMENTATION: Final = "adapterhub_lite_merges.sparse"
TIES: Final = "https://arxiv.org/abs/2306.01708"
DARE: Final = "https://arxiv.org/abs/2311.03099"
DELLA: Final = "https://arxiv.org/abs/2406.11617"
BREADCRUMBS: Final = "https://arxiv.org/abs/2312.06795"


class ModelDensity(ModelWeight):
    """What each model of a sparse merge is given."""

    density: float = Field(
        default=1.0, gt=0.0, le=1.0, description="The share of its task vector that is kept"
    )


class BreadcrumbsModel(ModelDensity):
    """What each model of a breadcrumbs merge is given."""

    gamma: float = Field(
        default=0.01,
        ge=0.0,
        lt=1.0,
        description="The share of largest magnitudes that is dropped; less where density needs it",
    )


class DellaModel(ModelDensity):
    """What each model of a DELLA merge is given."""

    epsilon: float = Field(
        default=0.15,
        ge=0.0,
        lt=1.0,
        description="A row's smallest is kept with density - epsilon, its largest with + epsilon",
    )


class SumParams(Params):
    """How kept parts of task vectors are summed."""

    normalize: bool = Field(
        default=False, description="Divide by the weights of the models that count at each place"
    )
    scale: float = Field(default=1.0, alias="lambda", description="Factor of the whole sum")
    int8_mask: bool = Field(
        default=False,
        description="Accepted from mergekit's recipes; has no effect, as masks are never stored",
    )


class SelectionParams(SumParams):
    """A sum of the parts that were selected by magnitude."""

    rescale: bool = Field(
        default=False, description="Give what is kept the norm that the whole had, by tensor"
    )
    rescale_norm: Literal["l1", "l2", "linf"] = Field(default="l1", description="Which norm")


class TiesParams(SelectionParams):
    """TIES: selection by magnitude, then a vote."""

    normalize: bool = Field(
        default=True, description="Divide by the weights of the models that count at each place"
    )
    scope: Literal["tensor", "model"] = Field(
        default="tensor",
        description="Select the largest of each tensor, or, as in the paper, of the whole model",
    )


class DrawnParams(SumParams):
    """A sum of the parts that were drawn."""

    rescale: bool = Field(default=True, description="Make up for what was dropped")
    rescale_norm: Literal["probability", "l1", "l2", "linf"] = Field(
        default="probability",
        description="Divide by the probability of being kept, or restore a norm of the tensor",
    )


class DellaParams(DrawnParams):
    """DELLA: a draw by rank, then a vote."""

    normalize: bool = Field(
        default=True, description="Divide by the weights of the models that count at each place"
    )


SPECS: Final = (
    MergeSpec(
        name="ties",
        summary="The largest parts of task vectors, where the models agree on the sign.",
        formula="θ = θ₀ + λ Σ mᵢwᵢ topk(δᵢ) / Σ mᵢwᵢ, mᵢ = [sgn δᵢ = sgn Σ wⱼ topk(δⱼ)]",
        paper=TIES,
        implementation=f"{IMPLEMENTATION}:Ties",
        params=TiesParams,
        model_params=ModelDensity,
        capabilities=frozenset({"commutative", "whole-model", "delta"}),
    ),
    MergeSpec(
        name="dare_linear",
        summary="Task vectors of which numbers are dropped at random and the rest scaled up.",
        formula="θ = θ₀ + λ Σ wᵢ bᵢδᵢ/p, bᵢ ~ Bernoulli(p)",
        paper=DARE,
        implementation=f"{IMPLEMENTATION}:DareLinear",
        params=DrawnParams,
        model_params=ModelDensity,
        capabilities=frozenset({"random", "delta"}),
    ),
    MergeSpec(
        name="dare_ties",
        summary="DARE, then only where the models agree on the sign.",
        formula="θ = θ₀ + λ Σ mᵢwᵢ bᵢδᵢ/p, bᵢ ~ Bernoulli(p), mᵢ = [sgn δᵢ = elected sign]",
        paper=DARE,
        implementation=f"{IMPLEMENTATION}:DareTies",
        params=DrawnParams,
        model_params=ModelDensity,
        capabilities=frozenset({"random", "delta"}),
    ),
    MergeSpec(
        name="della",
        summary="Numbers dropped at random, larger ones less often; then a vote on the sign.",
        formula="θ = θ₀ + λ Σ mᵢwᵢ bᵢδᵢ/pᵢ / Σ mᵢwᵢ, pᵢ = d - ε + 2ε·rank(|δᵢ|) in its row",
        paper=DELLA,
        implementation=f"{IMPLEMENTATION}:Della",
        params=DellaParams,
        model_params=DellaModel,
        capabilities=frozenset({"random", "delta"}),
    ),
    MergeSpec(
        name="della_linear",
        summary="Numbers dropped at random, larger ones less often, and the rest scaled up.",
        formula="θ = θ₀ + λ Σ wᵢ bᵢδᵢ/pᵢ, pᵢ = d - ε + 2ε·rank(|δᵢ|) in its row",
        paper=DELLA,
        implementation=f"{IMPLEMENTATION}:DellaLinear",
        params=DrawnParams,
        model_params=DellaModel,
        capabilities=frozenset({"random", "delta"}),
    ),
    MergeSpec(
        name="breadcrumbs",
        summary="Task vectors without their outliers and without their small numbers.",
        formula="θ = θ₀ + λ Σ wᵢ band(δᵢ), band: the next density after the largest gamma",
        paper=BREADCRUMBS,
        implementation=f"{IMPLEMENTATION}:Breadcrumbs",
        params=SelectionParams,
        model_params=BreadcrumbsModel,
        capabilities=frozenset({"commutative", "delta"}),
    ),
    MergeSpec(
        name="breadcrumbs_ties",
        summary="Breadcrumbs, then only where the models agree on the sign.",
        formula="θ = θ₀ + λ Σ mᵢwᵢ band(δᵢ), mᵢ = [sgn δᵢ = elected sign]",
        paper=BREADCRUMBS,
        implementation=f"{IMPLEMENTATION}:BreadcrumbsTies",
        params=SelectionParams,
        model_params=BreadcrumbsModel,
        capabilities=frozenset({"commutative", "delta"}),
    ),
)
