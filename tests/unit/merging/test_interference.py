"""wudi against Adam on the loss as the paper writes it, in float64."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import RecipeError
from adapterhub_lite.merging.engine import Settings
from adapterhub_lite.merging.memory import merge_states
from adapterhub_lite.plugins import get_catalogue

CATALOGUE: Catalogue = get_catalogue(first_party_only=True)


def random(seed: int, shape: Sequence[int], scale: float = 1.0) -> Tensor:
    return scale * torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))


def merge(deltas: Sequence[Tensor], name: str = "w", **params: Any) -> Tensor:
    """Return what is added to a base of zeros."""
    states = [{name: delta} for delta in deltas]
    base = {name: torch.zeros_like(deltas[0])}
    return merge_states(states, "wudi", CATALOGUE, base=base, **params)[name].double()


def loss(tau: Tensor, deltas: Sequence[Tensor]) -> Tensor:
    terms = [((tau - d) @ d.T).square().sum() / d.square().sum() for d in deltas if d.any()]
    return torch.stack(terms).sum()


def adam(deltas: Sequence[Tensor], steps: int, rate: float) -> Tensor:
    """Adam (Kingma and Ba, 2015) with autograd's gradients of the loss."""
    wide = [delta.double() for delta in deltas]
    tau = torch.stack(wide).sum(0).requires_grad_()
    mean, square = torch.zeros_like(wide[0]), torch.zeros_like(wide[0])
    for step in range(1, steps + 1):
        (gradient,) = torch.autograd.grad(loss(tau, wide), tau)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        moved = mean / (1 - 0.9**step) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
        tau = (tau - rate * moved).detach().requires_grad_()
    return tau.detach()


def error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("shape", [(14, 9), (9, 14)])
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(("steps", "rate"), [(1, 1e-2), (20, 1e-2), (60, 1e-3)])
def test_it_is_adam_on_the_loss(
    shape: tuple[int, int], count: int, steps: int, rate: float
) -> None:
    deltas = [random(seed, shape, 0.1) for seed in range(count)]
    found = merge(deltas, iterations=steps, learning_rate=rate)
    expected = adam(deltas, steps, rate)
    assert error(found, expected) < 1e-5
    start = torch.stack(deltas).double().sum(0)
    assert error(found - start, expected - start) < 1e-3


def test_by_default_it_takes_400_steps_of_a_hundred_thousandth() -> None:
    deltas = [random(seed, (6, 5), 0.01) for seed in range(2)]
    assert error(merge(deltas), adam(deltas, 400, 1e-5)) < 1e-4
    assert error(merge(deltas), torch.stack(deltas).double().sum(0)) > 1e-2


def test_many_steps_reach_the_minimum() -> None:
    deltas = [random(seed, (5, 8), 0.3) for seed in range(3)]
    wide = [delta.double() for delta in deltas]
    shares = [d.T @ d / d.square().sum() for d in wide]
    pulled = sum((d @ s for d, s in zip(wide, shares, strict=True)), torch.zeros(()))
    least = torch.linalg.solve(sum(shares, torch.zeros(())), pulled, left=False)
    found = merge(deltas, iterations=2000, learning_rate=1e-2)
    assert loss(found, wide) < 1.001 * loss(least, wide) < loss(torch.stack(wide).sum(0), wide)


def test_no_step_is_the_sum_of_task_vectors() -> None:
    deltas = [random(seed, (6, 5)) for seed in range(3)]
    assert error(merge(deltas, iterations=0), torch.stack(deltas).double().sum(0)) < 1e-6


def test_one_task_stays_as_it_is() -> None:
    delta = random(1, (20, 15), 0.01)
    assert error(merge([delta]), delta.double()) < 1e-5


@pytest.mark.parametrize("name", ["model.embed_tokens.weight", "wte.weight"])
def test_embeddings_are_averaged(name: str) -> None:
    deltas = [random(seed, (6, 5)) for seed in range(3)]
    assert error(merge(deltas, name), torch.stack(deltas).double().mean(0)) < 1e-6


@pytest.mark.parametrize("shape", [(9,), (), (2, 3, 4)])
def test_what_is_no_matrix_is_averaged(shape: tuple[int, ...]) -> None:
    deltas = [random(seed, shape) for seed in range(3)]
    assert error(merge(deltas), torch.stack(deltas).double().mean(0)) < 1e-6


def test_a_task_that_changed_nothing_pulls_at_nothing() -> None:
    deltas = [random(1, (6, 5), 0.1), random(2, (6, 5), 0.1)]
    zero = torch.zeros(6, 5)
    assert torch.equal(merge([*deltas, zero]), merge(deltas))
    assert not merge([zero, zero]).any()


def test_threads_and_repetition_change_no_bit() -> None:
    shapes = {"a": (40, 30), "b": (7,), "c": (30, 40)}
    base = {name: random(0, shape) for name, shape in shapes.items()}
    states = [{n: v + random(m, v.shape, 0.01) for n, v in base.items()} for m in (1, 2)]
    found = [
        merge_states(
            states,
            "wudi",
            CATALOGUE,
            base=base,
            settings=Settings(threads=threads, chunk_size=size),
            iterations=30,
        )
        for size, threads in [(2**18, 1), (64, 2), (1000, 3)]
    ]
    for other in found[1:]:
        assert all(torch.equal(other[name], found[0][name]) for name in shapes)


@pytest.mark.parametrize("given", [{"iterations": -1}, {"learning_rate": 0.0}, {"steps": 3}])
def test_parameters_out_of_range_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        merge([random(1, (3, 3))] * 2, **given)
