"""Merges of what is selected by magnitude: ties and breadcrumbs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.errors import CapabilityError, RecipeError
from adapterhub_lite.merging.memory import merge_states
from adapterhub_lite.streaming import selection
from tests.unit.merging.sparse_reference import (
    CATALOGUE,
    STRATEGIES,
    agreed,
    band,
    deltas_of,
    merged,
    random_models,
    restored,
    summed,
    top,
)

WEIGHTS = (0.7, 1.0, 0.4)
EACH = [{"weight": weight} for weight in WEIGHTS]


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("density", [0.03, 0.3, 0.5, 0.9, 1.0])
def test_ties_follows_its_formula(density: float, normalize: bool) -> None:
    base, models = random_models(3, (37, 19))
    kept = [top(density)(delta) for delta in deltas_of(base, models)]
    expected = base.double().numpy() + 0.6 * agreed(kept, WEIGHTS, normalize)

    result = merged(
        "ties", base, models, None, EACH, density=density, normalize=normalize, **{"lambda": 0.6}
    )

    np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("density", "gamma"), [(0.4, 0.1), (0.5, 0.0), (0.8, 0.5), (0.95, 0.01)])
def test_breadcrumbs_follow_their_formula(density: float, gamma: float) -> None:
    base, models = random_models(3, (37, 19))
    kept = [band(density, gamma)(delta) for delta in deltas_of(base, models)]
    for strategy, combine in (("breadcrumbs", summed), ("breadcrumbs_ties", agreed)):
        for normalize in (True, False):
            expected = base.double().numpy() + combine(kept, WEIGHTS, normalize)

            result = merged(
                strategy,
                base,
                models,
                None,
                EACH,
                density=density,
                gamma=gamma,
                normalize=normalize,
            )

            np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_rescaling_restores_the_norm_of_each_task_vector(norm: str) -> None:
    base, models = random_models(3, (37, 19))
    deltas = deltas_of(base, models)
    for strategy, sparsify in (("ties", top(0.4)), ("breadcrumbs_ties", band(0.4, 0.1))):
        kept = [restored(delta, sparsify(delta), norm) for delta in deltas]
        expected = base.double().numpy() + agreed(kept, WEIGHTS, normalize=False)

        result = merged(
            strategy,
            base,
            models,
            None,
            EACH,
            normalize=False,
            rescale=True,
            rescale_norm=norm,
            **STRATEGIES[strategy],
        )

        np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=2e-6)


@given(levels=st.lists(st.integers(-3, 3), min_size=1, max_size=200), density=st.floats(0.001, 1.0))
def test_exactly_the_share_is_kept_however_many_are_equal(
    levels: list[int], density: float
) -> None:
    model = torch.tensor(levels, dtype=torch.bfloat16)
    result = merged("ties", torch.zeros_like(model), [model], density=density)
    expected = top(density)(np.array(levels, np.float64))
    np.testing.assert_array_equal(result.float().numpy(), expected)


def test_selection_is_as_exact_by_counting_as_it_is_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base, models = random_models(2, (301, 7), torch.bfloat16)
    expected = merged("ties", base, models, density=0.37)
    monkeypatch.setattr(selection, "RESIDENT", 100)
    assert torch.equal(merged("ties", base, models, density=0.37), expected)


def test_only_models_of_the_elected_sign_count() -> None:
    base = torch.zeros(5)
    first = torch.tensor([3.0, 3.0, 2.0, 0.0, -1.0])
    second = torch.tensor([1.0, -1.0, -2.0, 0.0, 0.0])
    # Agreement; a stronger sign; a sum of zero, which elects plus; no vote; a zero that abstains.
    assert merged("ties", base, [first, second]).tolist() == [2.0, 3.0, 2.0, 0.0, -1.0]
    assert merged("breadcrumbs_ties", base, [first, second]).tolist() == [4.0, 3.0, 2.0, 0.0, -1.0]


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("strategy", ["dare_linear", "della_linear", "breadcrumbs"])
def test_density_one_without_a_vote_is_task_arithmetic(strategy: str, normalize: bool) -> None:
    base, models = random_models(3, (37, 19))
    shared: Mapping[str, Any] = {"normalize": normalize, "lambda": 0.6}
    expected = merged("task_arithmetic", base, models, None, EACH, **shared)
    assert torch.equal(merged(strategy, base, models, None, EACH, **shared), expected)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_model_of_density_one_is_that_model(strategy: str) -> None:
    base, (model,) = random_models(1, (37, 19), torch.bfloat16)
    assert torch.equal(merged(strategy, base, [model]), model)


@given(
    columns=st.lists(st.lists(st.integers(-8, 8), min_size=4, max_size=4), min_size=1, max_size=60),
    order=st.permutations(range(4)),
    strategy=st.sampled_from(["ties", "breadcrumbs", "breadcrumbs_ties"]),
)
def test_the_order_of_models_does_not_matter(
    columns: list[list[int]], order: list[int], strategy: str
) -> None:
    # Whole numbers and powers of two: sums are exact, so equal to the last bit.
    models = list(torch.tensor(columns, dtype=torch.float32).T.contiguous())
    base = torch.ones(len(columns))
    each = [{"weight": weight} for weight in (1.0, 0.5, 0.25, 2.0)]
    first = merged(strategy, base, models, None, each, **STRATEGIES[strategy])
    second = merged(
        strategy,
        base,
        [models[number] for number in order],
        None,
        [each[number] for number in order],
        **STRATEGIES[strategy],
    )
    assert torch.equal(first, second)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_empty_tensors_and_scalars_are_merged(strategy: str) -> None:
    for shape in ((), (0,), (3, 0), (1,)):
        base, models = torch.zeros(shape), [torch.ones(shape)] * 2
        result = merged(strategy, base, models)
        assert result.shape == shape
        assert bool((result == (1.0 if strategy in {"ties", "della"} else 2.0)).all())


def test_a_mask_type_of_mergekit_changes_nothing() -> None:
    base, models = random_models(2, (5, 5))
    plain = merged("ties", base, models, density=0.5)
    assert torch.equal(merged("ties", base, models, density=0.5, int8_mask=True), plain)


@pytest.mark.parametrize(
    ("strategy", "params", "weights", "reason"),
    [
        ("ties", {}, (1.0, -1.0), "sum to 0"),
        ("breadcrumbs", {"normalize": True}, (1.0, -1.0), "sum to 0"),
        ("ties", {}, (1.0, -0.5), "weights of both signs"),
        ("della", {"density": 0.2, "epsilon": 0.2}, (1.0, 1.0), "between 0 and 1"),
        ("della_linear", {"density": 0.8, "epsilon": 0.2}, (1.0, 1.0), "between 0 and 1"),
        ("dare_ties", {"density": 1e-6}, (1.0, 1.0), "keeps nothing"),
        ("della", {"density": 0.1, "epsilon": 0.099999}, (1.0, 1.0), "keeps nothing"),
    ],
)
def test_what_cannot_be_merged_is_refused(
    strategy: str, params: Mapping[str, Any], weights: tuple[float, ...], reason: str
) -> None:
    base, models = random_models(2, (4, 4))
    each = [{"weight": weight} for weight in weights]
    with pytest.raises(CapabilityError, match=reason):
        merged(strategy, base, models, None, each, **params)


@pytest.mark.parametrize(
    "params",
    [{"density": 0.0}, {"density": 1.5}, {"gamma": 1.0}, {"epsilon": 0.1}, {"rescale_norm": "l3"}],
)
def test_parameters_out_of_range_or_unknown_are_refused(params: Mapping[str, Any]) -> None:
    base, models = random_models(2, (4, 4))
    with pytest.raises(RecipeError, match=next(iter(params))):
        merged("breadcrumbs", base, models, **params)


def test_weights_of_both_signs_are_merged_without_normalisation() -> None:
    base, models = random_models(2, (37, 19))
    weights = (1.0, -0.5)
    expected = base.double().numpy() + agreed(deltas_of(base, models), weights, normalize=False)
    each = [{"weight": weight} for weight in weights]
    result = merged("ties", base, models, None, each, normalize=False)
    np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=1e-6)


def test_a_base_is_needed() -> None:
    with pytest.raises(CapabilityError, match="ties"):
        merge_states([{"w": torch.ones(2)}], "ties", CATALOGUE)
