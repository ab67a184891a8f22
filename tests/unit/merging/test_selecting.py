"""sce, magmax and consensus_ta against their formulas in float64."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from adapterhub_lite.errors import CapabilityError, RecipeError
from tests.unit.merging.single_tensor import assert_same_in_any_run, grid_models, merge

SHAPE = (12, 25)
Floats = NDArray[np.float64]


def stacked(base: torch.Tensor, models: list[torch.Tensor]) -> Floats:
    deltas: Floats = torch.stack([model.double() - base.double() for model in models]).numpy()
    return deltas


def sce(base: torch.Tensor, models: list[torch.Tensor], topk: float) -> Floats:
    """Select by variance, weigh by mean square, erase minorities, average."""
    deltas = stacked(base, models)
    flat = deltas.reshape(len(models), -1)
    if topk < 1:
        variance = np.square(flat[:, None] - flat[None]).sum(axis=(0, 1))
        count = int(topk * np.count_nonzero(variance))
        dropped = np.argsort(-variance, kind="stable")[count:]
        flat[:, dropped] = 0
    weights = np.square(flat).mean(axis=1)
    sign = np.where(flat.sum(axis=0) >= 0, 1, -1)
    counts = (np.sign(flat) == sign) * weights[:, None]
    total = counts.sum(axis=0)
    merged = (counts * flat).sum(axis=0) / np.where(total == 0, 1, total)
    return base.double().numpy() + merged.reshape(base.shape)


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("topk", [1.0, 0.5, 0.13, 0.001])
def test_sce_is_its_formula(topk: float, count: int) -> None:
    base, models = grid_models(count, SHAPE, zeros=0.4)

    found = merge("sce", base, models, select_topk=topk)

    np.testing.assert_allclose(found, sce(base, models, topk), rtol=0, atol=2e-7)


def test_sce_counts_bits_for_tensors_too_large_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    base, models = grid_models(3, SHAPE, zeros=0.4)
    held = merge("sce", base, models, select_topk=0.3)

    monkeypatch.setattr("adapterhub_lite_merges.selecting.RESIDENT", 0)
    monkeypatch.setattr("adapterhub_lite.streaming.selection.RESIDENT", 0)

    assert torch.equal(merge("sce", base, models, select_topk=0.3), held)


@pytest.mark.parametrize("size", [1.0, 2e-4, 1e-9, 1e-18])
def test_sce_weighs_by_energy_however_small_the_task_vectors_are(size: float) -> None:
    base = torch.zeros(8)
    models = [torch.full((8,), 3 * size), torch.full((8,), size)]

    found = merge("sce", base, models)

    np.testing.assert_allclose(found, (0.9 * 3 + 0.1) * size, rtol=1e-6)


def test_sce_selects_the_first_of_equals() -> None:
    base = torch.zeros(10)
    models = [torch.full((10,), 1.0), torch.full((10,), 3.0)]

    found = merge("sce", base, models, select_topk=0.35)

    np.testing.assert_allclose(found, [2.8] * 3 + [0] * 7, rtol=1e-6)


def test_sce_selects_among_entries_that_differ() -> None:
    base = torch.zeros(10)
    same = torch.full((10,), 0.1)
    other = same.clone()
    other[4:8] += torch.tensor([0.1, 0.4, 0.3, 0.2])

    found = merge("sce", base, [same, same, other], select_topk=0.5)

    assert found.nonzero().view(-1).tolist() == [5, 6]


def test_sce_of_equal_models_is_that_model_or_nothing_of_it() -> None:
    base, (model,) = grid_models(1, SHAPE)

    torch.testing.assert_close(merge("sce", base, [model] * 3), model.double())
    assert torch.equal(merge("sce", base, [model] * 3, select_topk=0.9), base.double())


def test_sce_of_one_model_is_that_model_and_has_nothing_to_select_by() -> None:
    base, models = grid_models(1, SHAPE)

    assert torch.equal(merge("sce", base, models), models[0].double())
    with pytest.raises(CapabilityError, match="only one"):
        merge("sce", base, models, select_topk=0.5)


@pytest.mark.parametrize("topk", [0.0, 1.5])
def test_sce_refuses_a_share_that_is_none(topk: float) -> None:
    base, models = grid_models(2, SHAPE)

    with pytest.raises(RecipeError, match="select_topk"):
        merge("sce", base, models, select_topk=topk)


def test_magmax_is_its_formula() -> None:
    base, models = grid_models(4, SHAPE)
    deltas = stacked(base, models)
    # Of two that are as large the positive one.
    order = np.abs(deltas) + 1e-9 * np.sign(deltas)
    largest = np.take_along_axis(deltas, order.argmax(axis=0)[None], axis=0)[0]

    found = merge("magmax", base, models, **{"lambda": 0.75})

    np.testing.assert_array_equal(found, base.double().numpy() + 0.75 * largest)


def test_magmax_of_one_model_is_that_model() -> None:
    base, models = grid_models(1, SHAPE)

    assert torch.equal(merge("magmax", base, models, **{"lambda": 1.0}), models[0].double())


def consensus(
    base: torch.Tensor, models: list[torch.Tensor], threshold: float, k: int, scale: float
) -> Floats:
    deltas = stacked(base, models)
    total = deltas.sum(axis=0)
    needed = np.abs(deltas) > threshold * np.abs(total - deltas)
    kept = needed.sum(axis=0) >= k
    result: Floats = base.double().numpy() + scale * total * kept
    return result


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("threshold", [0.25, 0.5, 1.0])
def test_consensus_ta_is_its_formula(threshold: float, k: int) -> None:
    base, models = grid_models(3, SHAPE, zeros=0.3)

    found = merge("consensus_ta", base, models, mask_threshold=threshold, k=k, **{"lambda": 0.5})

    np.testing.assert_array_equal(found, consensus(base, models, threshold, k, 0.5))


def test_consensus_ta_refuses_a_k_that_nothing_reaches() -> None:
    base, models = grid_models(2, SHAPE)

    with pytest.raises(CapabilityError, match="k = 3 of 2 models"):
        merge("consensus_ta", base, models, k=3)


def test_consensus_ta_that_asks_for_one_mask_is_the_sum() -> None:
    base, models = grid_models(3, SHAPE)
    total = merge("task_arithmetic", base, models)

    assert torch.equal(merge("consensus_ta", base, models, k=1, mask_threshold=0.0), total)


@settings(max_examples=20)
@given(seed=st.integers(0, 50), order=st.permutations(range(3)))
def test_the_order_of_models_does_not_matter(seed: int, order: list[int]) -> None:
    base, models = grid_models(3, (5, 7), zeros=0.2, seed=seed)
    shuffled = [models[number] for number in order]

    for strategy, params in [("magmax", {}), ("consensus_ta", {}), ("sce", {"select_topk": 0.4})]:
        found = merge(strategy, base, shuffled, **params)
        torch.testing.assert_close(
            found, merge(strategy, base, models, **params), rtol=0, atol=2e-7
        )


@pytest.mark.parametrize(
    ("strategy", "params"),
    [
        ("sce", {}),
        ("sce", {"select_topk": 0.3}),
        ("magmax", {}),
        ("consensus_ta", {"mask_threshold": 0.4}),
    ],
)
def test_chunks_and_threads_change_nothing(strategy: str, params: dict[str, Any]) -> None:
    assert_same_in_any_run(strategy, 3, **params)


def test_bfloat16_is_merged_in_float32_and_rounded_once() -> None:
    base, models = grid_models(3, SHAPE)
    exact = sce(base, models, 1.0)

    found = merge("sce", base.bfloat16(), [model.bfloat16() for model in models])

    assert all(torch.equal(m.bfloat16().float(), m) for m in itertools.chain([base], models))
    assert torch.equal(found, torch.from_numpy(exact).bfloat16().double())
