"""model_stock against its formula in float64."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.merging.engine import Settings
from adapterhub_lite.merging.memory import merge_states
from adapterhub_lite.plugins import get_catalogue

CATALOGUE: Catalogue = get_catalogue(first_party_only=True)
SHAPE = (12, 9)


def random(seed: int, shape: Sequence[int] = SHAPE, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))


def merge(base: Tensor, models: Sequence[Tensor], **params: Any) -> Tensor:
    states = [{"w": model} for model in models]
    merged = merge_states(states, "model_stock", CATALOGUE, base={"w": base}, **params)
    return merged["w"].double()


def stock(base: Tensor, models: Sequence[Tensor]) -> Tensor:
    """The formula, on one vector."""
    deltas = [model.double() - base.double() for model in models]
    pairs = list(combinations(deltas, 2))
    c = sum(float((a * b).sum() / (a.norm() * b.norm())) for a, b in pairs) / len(pairs)
    n = len(models)
    t = n * c / (1 + (n - 1) * c)
    return t * torch.stack([m.double() for m in models]).mean(0) + (1 - t) * base.double()


def near(base: Tensor, count: int, scale: float = 1.0, common: float = 0.7) -> list[Tensor]:
    """Fine-tuned models that share a part of their direction."""
    shape = tuple(base.shape)
    return [
        base + scale * (common * random(50, shape) + random(100 + n, shape)) for n in range(count)
    ]


def error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("shape", [SHAPE, (7,), (4, 3, 5)])
def test_it_is_its_formula(count: int, shape: tuple[int, ...]) -> None:
    base = random(1, shape)
    models = near(base, count)
    assert error(merge(base, models), stock(base, models)) < 1e-6


@pytest.mark.parametrize("shape", [SHAPE, (4, 3, 5)])
def test_filter_wise_each_row_has_a_ratio(shape: tuple[int, ...]) -> None:
    base = random(1, shape)
    models = near(base, 3)
    expected = torch.stack([stock(base[row], [m[row] for m in models]) for row in range(shape[0])])
    assert error(merge(base, models, filter_wise=True), expected) < 1e-6
    assert error(merge(base, models), expected) > 1e-3


def test_a_vector_is_one_filter() -> None:
    base = random(1, (30,))
    models = near(base, 3)
    assert torch.equal(merge(base, models, filter_wise=True), merge(base, models))


@pytest.mark.parametrize("scale", [1e-1, 1e-3, 1e-5])
def test_the_ratio_does_not_depend_on_how_small_task_vectors_are(scale: float) -> None:
    base = torch.zeros(SHAPE)
    large, small = merge(base, near(base, 3)), merge(base, near(base, 3, scale))
    assert error(small / scale, large) < 1e-6
    assert error(small, stock(base, near(base, 3, scale))) < 1e-6
    on_weights = random(1, scale=0.02)
    models = near(on_weights, 3, scale, common=5.0)
    moved = (merge(on_weights, models) - on_weights).norm()
    mean = (torch.stack(models).mean(0) - on_weights).norm()
    assert moved > 0.9 * mean


def test_models_that_agree_are_averaged_and_the_same_model_is_kept() -> None:
    base, model = random(1), random(2)
    assert error(merge(base, [model, model.clone()]), model.double()) < 1e-6


def test_models_that_share_no_direction_leave_the_base() -> None:
    base, delta = random(1), torch.zeros(SHAPE)
    first, second = delta.clone(), delta.clone()
    first[0], second[1] = 1.0, 1.0
    assert torch.equal(merge(base, [base + first, base + second]).float(), base)


def test_opposite_models_leave_the_base() -> None:
    base = torch.zeros(SHAPE)
    delta = random(2)
    assert torch.equal(merge(base, [delta, -2 * delta]).float(), base)
    assert not merge(torch.zeros(1), [torch.tensor([0.3]), torch.tensor([-0.2])]).any()


def test_a_model_that_changed_nothing_counts_as_perpendicular() -> None:
    base = torch.zeros(SHAPE)
    first, second = near(base, 2)
    a, b = first.double(), second.double()
    c = float((a * b).sum() / (a.norm() * b.norm())) / 3
    expected = 3 * c / (1 + 2 * c) * (a + b) / 3
    assert error(merge(base, [first, base, second]), expected) < 1e-6
    assert torch.equal(merge(random(1), [random(1), random(1)]).float(), random(1))


def test_one_model_is_no_stock() -> None:
    with pytest.raises(CapabilityError, match="at least 2"):
        merge(random(1), [random(2)])


@pytest.mark.parametrize("filter_wise", [False, True])
def test_chunks_and_threads_change_no_bit(filter_wise: bool) -> None:
    shapes = {"a": (130, 70), "b": (7,), "c": (), "d": (3, 5, 40), "e": (0, 4)}
    base = {name: random(0, shape) for name, shape in shapes.items()}
    states = [{name: near(value, 3)[n] for name, value in base.items()} for n in range(3)]
    found = [
        merge_states(
            states,
            "model_stock",
            CATALOGUE,
            base=base,
            settings=Settings(threads=threads, chunk_size=size),
            filter_wise=filter_wise,
        )
        for size, threads in [(2**18, 1), (64, 2), (1000, 3)]
    ]
    for other in found[1:]:
        assert all(torch.equal(other[name], found[0][name]) for name in shapes)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(4)), st.booleans())
def test_the_order_of_models_does_not_matter(order: list[int], filter_wise: bool) -> None:
    base = random(1)
    models = near(base, 4)
    turned = merge(base, [models[n] for n in order], filter_wise=filter_wise)
    assert error(merge(base, models, filter_wise=filter_wise), turned) < 1e-6
