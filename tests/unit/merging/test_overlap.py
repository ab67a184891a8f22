"""ram and its strengthened forms against their formulas in float64."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from adapterhub_lite.merging.memory import merge_states
from tests.unit.merging.single_tensor import (
    CATALOGUE,
    assert_same_in_any_run,
    grid_models,
    merge,
)

SHAPE = (12, 25)
Floats = NDArray[np.float64]


def overlaps(deltas: Floats, epsilon: float) -> tuple[Floats, Floats]:
    """Each model's unique and shared entries, as counts."""
    changed = np.abs(deltas) > epsilon
    alone = changed.sum(axis=0) == 1
    axes = tuple(range(1, deltas.ndim))
    return (changed & alone).sum(axis=axes), (changed & ~alone).sum(axis=axes)


def ram(base: torch.Tensor, deltas: Floats, factors: Floats, epsilon: float = 1e-5) -> Floats:
    changed = np.abs(deltas) > epsilon
    count = changed.sum(axis=0)
    mean = (deltas * changed).sum(axis=0) / np.maximum(count, 1)
    shape = (-1, *[1] * (deltas.ndim - 1))
    unique = (deltas * changed * factors.reshape(shape)).sum(axis=0)
    result: Floats = base.double().numpy() + np.where(count == 1, unique, mean)
    return result


def deltas_of(base: torch.Tensor, models: list[torch.Tensor]) -> Floats:
    deltas: Floats = torch.stack([model.double() - base.double() for model in models]).numpy()
    return deltas


@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.9])
def test_ram_is_its_formula(zeros: float) -> None:
    base, models = grid_models(3, SHAPE, zeros)

    found = merge("ram", base, models)

    expected = ram(base, deltas_of(base, models), np.ones(3))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


def test_ram_does_not_see_what_is_as_small_as_epsilon() -> None:
    base = torch.zeros(4)
    models = [torch.tensor([0.25, 0.5, 0.75, 0.0]), torch.tensor([1.0, 0.25, 0.0, -0.25])]

    found = merge("ram", base, models, epsilon=0.25)

    assert found.tolist() == [1.0, 0.5, 0.75, 0.0]


@pytest.mark.parametrize(("r", "alpha"), [(0.1, 0.2), (0.5, 5.0), (0.0, 1.0)])
def test_ramplus_tl_strengthens_by_the_overlap_of_the_tensor(r: float, alpha: float) -> None:
    base, models = grid_models(3, SHAPE, 0.6)
    deltas = deltas_of(base, models)
    unique, shared = overlaps(deltas, 1e-5)
    factors = 1 + r * np.clip(shared / unique, 0, alpha)

    found = merge("ramplus_tl", base, models, r=r, alpha=alpha)

    np.testing.assert_allclose(found, ram(base, deltas, factors), rtol=0, atol=2e-7)


def test_ramplus_strengthens_by_the_overlap_of_the_whole_model() -> None:
    parts = {"a": grid_models(3, SHAPE, 0.9, seed=1), "b": grid_models(3, (50,), 0.2, seed=2)}
    deltas = {name: deltas_of(*part) for name, part in parts.items()}
    counts = [overlaps(delta, 1e-5) for delta in deltas.values()]
    unique, shared = (np.sum([count[side] for count in counts], axis=0) for side in (0, 1))
    factors = 1 + 0.5 * np.clip(shared / unique, 0, 9)

    found = merge_states(
        [{name: models[number] for name, (_, models) in parts.items()} for number in range(3)],
        "ramplus",
        CATALOGUE,
        base={name: base for name, (base, _) in parts.items()},
        r=0.5,
        alpha=9.0,
    )

    for name, (base, _) in parts.items():
        expected = ram(base, deltas[name], factors)
        np.testing.assert_allclose(found[name].double(), expected, rtol=0, atol=3e-7)


@pytest.mark.parametrize("strategy", ["ram", "ramplus", "ramplus_tl"])
def test_one_model_is_that_model(strategy: str) -> None:
    base, models = grid_models(1, SHAPE, 0.3)

    assert torch.equal(merge(strategy, base, models), models[0].double())


@settings(max_examples=20)
@given(seed=st.integers(0, 50), order=st.permutations(range(3)))
def test_the_order_of_models_does_not_matter(seed: int, order: list[int]) -> None:
    base, models = grid_models(3, (5, 7), zeros=0.5, seed=seed)
    shuffled = [models[number] for number in order]

    for strategy in ("ram", "ramplus"):
        found = merge(strategy, base, shuffled)
        torch.testing.assert_close(found, merge(strategy, base, models), rtol=0, atol=2e-7)


@pytest.mark.parametrize(
    ("strategy", "params"),
    [
        ("ram", {"epsilon": 0.5}),
        ("ramplus", {"epsilon": 0.9, "alpha": 9.0}),
        ("ramplus_tl", {"epsilon": 0.9, "alpha": 9.0}),
    ],
)
def test_chunks_and_threads_change_nothing(strategy: str, params: dict[str, Any]) -> None:
    assert_same_in_any_run(strategy, 3, **params)
