"""nearswap and arcee_fusion against their formulas in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from adapterhub_lite.errors import CapabilityError, RecipeError
from adapterhub_lite_merges.fusion import order_statistics
from tests.unit.merging.single_tensor import assert_same_in_any_run, grid_models, merge

Floats = NDArray[np.float64]


def random(seed: int, shape: tuple[int, ...], scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("t", [0.001, 0.1, 0.5])
def test_nearswap_is_its_formula(t: float) -> None:
    base, model = random(1, (13, 29), 0.3), random(2, (13, 29), 0.3)
    a, b = base.double().numpy(), model.double().numpy()

    found = merge("nearswap", base, [model], t=t)

    expected = a + np.clip(t / np.abs(a - b), 0, 1) * (b - a)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


def test_nearswap_by_nothing_is_the_base_and_by_much_the_other() -> None:
    base, (model,) = grid_models(1, (13, 29), zeros=0.3)

    assert torch.equal(merge("nearswap", base, [model], t=0.0), base.double())
    assert torch.equal(merge("nearswap", base, [model], t=9.0), model.double())


def test_nearswap_refuses_what_it_cannot_swap_by() -> None:
    base, models = grid_models(2, (3,))

    with pytest.raises(RecipeError, match=r"nearswap\.t"):
        merge("nearswap", base, models[:1])
    with pytest.raises(RecipeError, match=r"nearswap\.t"):
        merge("nearswap", base, models[:1], t=-0.1)
    with pytest.raises(CapabilityError, match="exactly 1 model,"):
        merge("nearswap", base, models, t=0.1)


def arcee_fusion(base: torch.Tensor, model: torch.Tensor) -> Floats:
    a, b = base.double(), model.double()
    moved, still = torch.log_softmax(b, -1), torch.log_softmax(a, -1)
    divergence = (moved.exp() * (moved - still)).sum(-1, keepdim=True)
    importance = ((b - a).abs() * divergence).numpy()
    lower, median, upper = np.quantile(importance, [0.25, 0.5, 0.75], method="lower")
    taken = importance >= median + 1.5 * (upper - lower)
    assert 0 < taken.sum() < taken.size / 2
    result: Floats = np.where(taken, b.numpy(), a.numpy())
    return result


@pytest.mark.parametrize("shape", [(40, 33), (7, 5, 16), (200,)])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_arcee_fusion_is_its_formula(shape: tuple[int, ...], scale: float) -> None:
    base = random(1, shape)
    model = base + random(2, shape, scale)

    found = merge("arcee_fusion", base, [model])

    np.testing.assert_allclose(found, arcee_fusion(base, model), rtol=0, atol=3e-7)


def test_arcee_fusion_counts_bits_for_tensors_too_large_to_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = random(1, (40, 33))
    model = base + random(2, (40, 33), 0.1)
    held = merge("arcee_fusion", base, [model])

    monkeypatch.setattr("adapterhub_lite_merges.fusion.RESIDENT", 0)

    assert torch.equal(merge("arcee_fusion", base, [model]), held)


def test_arcee_fusion_takes_all_that_differs_where_nearly_nothing_does() -> None:
    base = random(1, (30, 20))
    model = base.clone()
    model[3, 4] += 1.0
    model[8] += random(2, (20,))

    assert torch.equal(merge("arcee_fusion", base, [model]), model.double())


def test_arcee_fusion_takes_what_just_reaches_the_threshold() -> None:
    base = torch.zeros(3, 8)
    model = base + torch.tensor([0.5, -0.5] * 4)

    assert torch.equal(merge("arcee_fusion", base, [model]), model.double())


def test_arcee_fusion_of_a_model_with_itself_is_the_model() -> None:
    base = random(1, (30, 20))

    assert torch.equal(merge("arcee_fusion", base, [base]), base.double())
    assert merge("arcee_fusion", torch.empty(0, 4), [torch.empty(0, 4)]).shape == (0, 4)


@given(
    values=st.lists(st.floats(-3, 3, width=16), min_size=1, max_size=40),
    data=st.data(),
    counting=st.booleans(),
)
def test_order_statistics_are_those_of_a_sort(
    values: list[float], data: st.DataObject, counting: bool
) -> None:
    ranks = data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=3))
    numbers = torch.tensor(values)
    ordered = numbers.abs().sort().values

    with pytest.MonkeyPatch.context() as patch:
        if counting:
            patch.setattr("adapterhub_lite_merges.fusion.RESIDENT", 0)
        found = order_statistics(lambda: numbers.split(7), len(values), ranks)

    assert found == [ordered[rank].item() for rank in ranks]


def test_chunks_and_threads_change_nothing() -> None:
    assert_same_in_any_run("nearswap", 1, t=0.4)
    assert_same_in_any_run("arcee_fusion", 1)
