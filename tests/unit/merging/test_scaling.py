"""expo, lines and passthrough: models and task vectors times a factor."""

import pytest
import torch

from adapterhub_lite.errors import CapabilityError, RecipeError
from adapterhub_lite.merging.layer_scaling import layer_factor
from adapterhub_lite.merging.memory import merge_states
from adapterhub_lite.streaming.naming import Role
from adapterhub_lite.streaming.tensors import Layer
from tests.unit.merging.single_tensor import (
    CATALOGUE,
    assert_same_in_any_run,
    grid_models,
    merge,
)

SHAPE = (12, 25)
FACTORS = {
    "model.embed_tokens.weight": 0.25,
    "model.layers.0.mlp.weight": 0.25,
    "model.layers.1.mlp.weight": 0.5,
    "model.layers.2.mlp.weight": 0.75,
    "model.layers.3.mlp.weight": 1.0,
    "model.layers.4.mlp.weight": 1.25,
    "model.norm.weight": 1.25,
    "lm_head.weight": 1.25,
}


@pytest.mark.parametrize("alpha", [-0.25, 0.5, 2.0])
def test_expo_goes_on_beyond_the_model(alpha: float) -> None:
    base, models = grid_models(1, SHAPE)

    found = merge("expo", base, models, alpha=alpha)

    model = models[0].double()
    assert torch.equal(found, model + alpha * (model - base.double()))


def test_expo_without_a_step_is_the_model_to_the_last_bit() -> None:
    base, model = (torch.randn(99, generator=torch.Generator().manual_seed(n)) for n in (1, 2))

    assert torch.equal(merge("expo", base, [model], alpha=0.0), model.double())


@pytest.mark.parametrize("strategy", ["expo", "passthrough"])
def test_strategies_of_one_model_refuse_two(strategy: str) -> None:
    base, models = grid_models(2, SHAPE)

    with pytest.raises(CapabilityError, match="exactly 1 model,"):
        merge(strategy, base, models)


def test_lines_grows_with_the_depth_of_a_layer() -> None:
    parts = {name: grid_models(2, SHAPE, seed=seed) for seed, name in enumerate(FACTORS)}

    found = merge_states(
        [{name: models[number] for name, (_, models) in parts.items()} for number in range(2)],
        "lines",
        CATALOGUE,
        base={name: base for name, (base, _) in parts.items()},
        model_params=[{"weight": 0.5}, {"weight": 2.0}],
        alpha=0.25,
        beta=1.0,
    )

    for name, (base, models) in parts.items():
        under, first, second = (value.double() for value in (base, *models))
        total = 0.5 * (first - under) + 2.0 * (second - under)
        assert torch.equal(found[name].double(), under + FACTORS[name] * total), name


def test_lines_that_does_not_grow_is_task_arithmetic() -> None:
    base, models = grid_models(3, SHAPE)

    found = merge("lines", base, models, alpha=0.5, beta=0.0)

    assert torch.equal(found, merge("task_arithmetic", base, models, **{"lambda": 0.5}))


def test_lines_asks_for_both_of_its_factors() -> None:
    base, models = grid_models(1, SHAPE)

    with pytest.raises(RecipeError, match="beta"):
        merge("lines", base, models, alpha=0.5)


@pytest.mark.parametrize(
    ("layer", "role", "factor"),
    [
        (Layer(0, 5), "layer", 2.0),
        (Layer(1, 5), "layer", 3.0),
        (Layer(4, 5), "layer", 6.0),
        (Layer(0, 1), "layer", 2.0),
        (None, "embeddings", 2.0),
        (None, "norm", 6.0),
        (None, "head", 6.0),
        (None, "other", 6.0),
    ],
)
def test_what_is_in_no_layer_is_before_the_first_or_after_the_last(
    layer: Layer | None, role: Role, factor: float
) -> None:
    assert layer_factor(layer, role, 2.0, 4.0) == factor


def test_passthrough_is_the_model_itself_or_a_multiple_of_it() -> None:
    _, (model,) = grid_models(1, SHAPE)

    assert torch.equal(merge("passthrough", None, [model]), model.double())
    assert torch.equal(merge("passthrough", None, [model], scale=-0.5), -0.5 * model.double())


def test_passthrough_has_no_use_for_a_base() -> None:
    base, models = grid_models(1, SHAPE)

    with pytest.raises(CapabilityError, match="no use of a base"):
        merge("passthrough", base, models)


def test_chunks_and_threads_change_nothing() -> None:
    assert_same_in_any_run("expo", 1)
    assert_same_in_any_run("lines", 3, alpha=0.2, beta=0.7)
    assert_same_in_any_run("passthrough", 1, base=False, scale=0.3)
