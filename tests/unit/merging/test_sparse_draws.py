"""Merges of what is drawn: DARE and DELLA."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from adapterhub_lite.merging.engine import Settings
from tests.unit.merging.sparse_reference import (
    Floats,
    agreed,
    deltas_of,
    merged,
    random_models,
    restored,
    summed,
)

WEIGHTS = (0.7, 1.0, 0.4)
EACH = [{"weight": weight} for weight in WEIGHTS]
DRAWS = 65536


def masks_of(
    strategy: str, base: torch.Tensor, models: Sequence[torch.Tensor], **params: Any
) -> list[NDArray[np.bool_]]:
    """Return what is kept of each model, from merges in which it alone has a weight."""
    linear = {"dare_ties": "dare_linear", "della": "della_linear"}.get(strategy, strategy)
    found = []
    for number in range(len(models)):
        each = [{"weight": float(other == number)} for other in range(len(models))]
        alone = merged(linear, base, models, None, each, rescale=False, **params)
        found.append((alone != base).numpy())
    return found


def ranks_of(delta: Floats) -> NDArray[np.int64]:
    """Return the rank of each magnitude in its row: 0 for the smallest."""
    return np.abs(delta).argsort(axis=1).argsort(axis=1)


@pytest.mark.parametrize("density", [0.1, 0.5, 0.93])
def test_the_share_that_dare_keeps_is_the_density(density: float) -> None:
    size = 200_000
    base, model = torch.zeros(size), torch.ones(size)
    kept = merged("dare_linear", base, [model], rescale=False, density=density)
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    spread = np.sqrt(size * density * (1.0 - density))
    assert abs(kept.sum().item() - density * size) < 5.0 * spread


def test_dividing_by_the_probability_is_unbiased() -> None:
    size, density = 200_000, 0.3
    base, model = torch.zeros(size), torch.full((size,), 2.0)
    kept = merged("dare_linear", base, [model], density=density)
    spread = 2.0 * np.sqrt((1.0 - density) / density / size)
    assert abs(kept.double().mean().item() - 2.0) < 5.0 * spread
    factor = DRAWS / round(density * DRAWS)
    assert kept.max().item() == pytest.approx(2.0 * factor, rel=1e-6)


@pytest.mark.parametrize("norm", ["probability", "l1", "l2", "linf"])
@pytest.mark.parametrize(("strategy", "combine"), [("dare_linear", summed), ("dare_ties", agreed)])
def test_dare_follows_its_formula(strategy: str, combine: Any, norm: str) -> None:
    base, models = random_models(3, (60, 50))
    masks = masks_of(strategy, base, models, density=0.4)
    probability = round(0.4 * DRAWS) / DRAWS
    kept = [
        delta * mask / probability if norm == "probability" else restored(delta, delta * mask, norm)
        for delta, mask in zip(deltas_of(base, models), masks, strict=True)
    ]
    for normalize in (False, True):
        expected = base.double().numpy() + 0.6 * combine(kept, WEIGHTS, normalize)
        shared: Mapping[str, Any] = {"normalize": normalize, "lambda": 0.6, "rescale_norm": norm}

        result = merged(strategy, base, models, None, EACH, density=0.4, **shared)

        np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("norm", ["probability", "l1"])
@pytest.mark.parametrize(("strategy", "combine"), [("della_linear", summed), ("della", agreed)])
def test_della_follows_its_formula(strategy: str, combine: Any, norm: str) -> None:
    base, models = random_models(3, (60, 50))
    masks = masks_of(strategy, base, models, density=0.4, epsilon=0.2)
    kept = []
    for delta, mask in zip(deltas_of(base, models), masks, strict=True):
        probability = 0.2 + 0.4 * ranks_of(delta) / 49
        kept.append(
            delta * mask / (np.rint(probability * DRAWS) / DRAWS)
            if norm == "probability"
            else restored(delta, delta * mask, norm)
        )
    for normalize in (False, True):
        expected = base.double().numpy() + combine(kept, WEIGHTS, normalize)

        result = merged(
            strategy,
            base,
            models,
            None,
            EACH,
            density=0.4,
            epsilon=0.2,
            normalize=normalize,
            rescale_norm=norm,
        )

        np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "row",
    [[0.1, -0.2, 0.3, -0.4, 0.5], [-5.0, 4.0, -3.0, 2.0, 1.0], [2.0, 2.0, 2.0, -2.0, 2.0]],
)
def test_della_keeps_by_rank_and_of_equals_rather_the_first(row: list[float]) -> None:
    rows = 20_000
    model = torch.tensor([row]).expand(rows, 5).contiguous()
    base = torch.zeros_like(model)
    result = merged("della_linear", base, [model], density=0.5, epsilon=0.4, rescale=False)
    places = np.argsort(np.argsort(np.abs(row)[::-1], kind="stable"))[::-1]
    expected = 0.1 + 0.8 * places / 4
    spread = np.sqrt(expected * (1.0 - expected) / rows)
    rate = (result != 0.0).double().mean(dim=0).numpy()
    assert (np.abs(rate - expected) < 5.0 * spread + 1 / DRAWS).all()


def test_della_tells_every_rank_of_a_row_apart() -> None:
    width, generator = 4096, torch.Generator().manual_seed(0)
    ranks = torch.stack([torch.randperm(width, generator=generator) for _ in range(3)])
    model = 1000.0 + ranks
    result = merged("della_linear", torch.zeros_like(model), [model], density=0.5, epsilon=0.45)
    kept = result != 0.0
    probability = (model[kept].double() / result[kept]).numpy()
    np.testing.assert_allclose(
        (probability - 0.05) / 0.9 * (width - 1), ranks[kept].numpy(), rtol=0, atol=0.1
    )
    assert int(kept.sum()) > width


def test_della_on_average_gives_the_task_vector() -> None:
    rows = 50_000
    model = torch.tensor([[1.0, -2.0, 3.0, 0.5]]).expand(rows, 4).contiguous()
    result = merged("della_linear", torch.zeros_like(model), [model], density=0.5, epsilon=0.3)
    probability = 0.2 + 0.6 * np.array([1, 2, 3, 0]) / 3
    spread = np.abs(model[0].numpy()) * np.sqrt((1.0 - probability) / probability / rows)
    error = result.double().mean(dim=0).numpy() - model[0].numpy()
    assert (np.abs(error) < 5.0 * spread).all()


def test_rows_of_one_number_are_kept_with_the_density_itself() -> None:
    size = 50_000
    model = torch.ones(size, 1)
    result = merged(
        "della_linear", torch.zeros_like(model), [model], density=0.3, epsilon=0.25, rescale=False
    )
    assert abs(result.mean().item() - 0.3) < 5.0 * np.sqrt(0.3 * 0.7 / size)


def test_a_vector_is_one_row() -> None:
    base, (model,) = random_models(1, (400,))
    params = {"density": 0.5, "epsilon": 0.4}
    flat = merged("della", base, [model], **params)
    row = merged("della", base.view(1, 400), [model.view(1, 400)], **params)
    assert torch.equal(flat, row.view(-1))


@pytest.mark.parametrize("strategy", ["dare_linear", "della_linear"])
def test_the_draw_follows_the_seed_and_differs_by_model(strategy: str) -> None:
    base, (model,) = random_models(1, (50, 40))
    params = {"density": 0.5, "rescale": False}
    same = [merged(strategy, base, [model], Settings(seed=5), **params) for _ in range(2)]
    other = merged(strategy, base, [model], Settings(seed=6), **params)
    assert torch.equal(*same)
    assert not torch.equal(same[0], other)

    first, second = masks_of(strategy, base, [model, model], density=0.5)
    together = (first & second).mean()
    assert abs(together - 0.25) < 5.0 * np.sqrt(0.25 * 0.75 / model.numel())
