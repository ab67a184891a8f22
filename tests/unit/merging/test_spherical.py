"""slerp, nuslerp, multislerp and karcher against their formulas in float64."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import CapabilityError, RecipeError
from adapterhub_lite.merging.engine import Settings
from adapterhub_lite.merging.memory import merge_states
from adapterhub_lite.plugins import get_catalogue

CATALOGUE: Catalogue = get_catalogue(first_party_only=True)
SHAPE = (24, 17)
WEIGHTS = (0.3, 0.9, 0.5)


def random(seed: int, shape: Sequence[int] = SHAPE, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))


def merge(models: Sequence[Tensor], strategy: str, weights: Any = (), **given: Any) -> Tensor:
    """Merge models of one tensor; in float64, to be compared."""
    base = given.pop("base", None)
    return merge_states(
        [{"w": model} for model in models],
        strategy,
        CATALOGUE,
        base=None if base is None else {"w": base},
        model_params=[{"weight": weight} for weight in weights],
        settings=given.pop("settings", None),
        **given,
    )["w"].double()


def error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def arc(first: Tensor, second: Tensor, t: float, dim: int | None = None) -> Tensor:
    """The formula; a zero vector counts as perpendicular."""
    a, b = first.double(), second.double()
    inner = (a * b).sum(dim, keepdim=dim is not None)
    norms = a.square().sum(dim, keepdim=dim is not None) * b.square().sum(
        dim, keepdim=dim is not None
    )
    cosine = torch.where(norms > 0, inner / norms.sqrt(), 0.0)
    angle = cosine.clamp(-1, 1).acos()
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / angle.sin()


@pytest.mark.parametrize("t", [0.0, 0.2, 0.5, 0.85, 1.0])
def test_slerp_is_its_formula(t: float) -> None:
    a, b = random(1), random(2, scale=3.0) + 0.2
    found = merge([a, b], "slerp", t=t)
    assert error(found, arc(a, b, t)) < 1e-7
    assert (found - arc(a, b, t)).abs().max() < 1e-7 * b.abs().max()


def test_slerp_ends_are_the_models_bit_for_bit() -> None:
    a, b = random(1), random(2)
    assert torch.equal(merge([a, b], "slerp", t=0.0).float(), a)
    assert torch.equal(merge([a, b], "slerp", t=1.0).float(), b)


@pytest.mark.parametrize(("cosine", "straight"), [(0.9996, True), (0.9994, False)])
@pytest.mark.parametrize("sign", [1, -1])
def test_slerp_goes_straight_when_nearly_parallel(cosine: float, straight: bool, sign: int) -> None:
    a, other = random(1).double(), random(2).double()
    across = other - (other * a).sum() / a.square().sum() * a
    across *= a.norm() / across.norm()
    b = (sign * cosine * a + math.sqrt(1 - cosine**2) * across).float()
    line = 0.7 * a + 0.3 * b.double()
    expected = line if straight else arc(a.float(), b, 0.3)
    # nearly opposite ends cancel out, by a factor of about 20, and their rounding does not
    assert error(merge([a.float(), b], "slerp", t=0.3), expected) < (3e-7 if sign > 0 else 4e-6)
    assert error(line, arc(a.float(), b, 0.3)) > 1e-5


def test_a_base_is_where_slerp_begins() -> None:
    base, other = random(1), random(2)
    found = merge([other], "slerp", base=base, t=0.25)
    assert torch.equal(found, merge([base, other], "slerp", t=0.25))


def test_slerp_needs_two_ends_and_a_place_between_them() -> None:
    a, b = random(1), random(2)
    with pytest.raises(CapabilityError, match="not between 3"):
        merge([a, b], "slerp", base=a, t=0.5)
    with pytest.raises(CapabilityError, match="not between 1"):
        merge([a], "slerp", t=0.5)
    with pytest.raises(CapabilityError, match="at most 2"):
        merge([a, b, a], "slerp", t=0.5)
    with pytest.raises(RecipeError, match="t"):
        merge([a, b], "slerp")
    with pytest.raises(RecipeError, match="t"):
        merge([a, b], "slerp", t=1.5)


def test_a_zero_counts_as_perpendicular() -> None:
    a, zero = random(1), torch.zeros(SHAPE)
    assert error(merge([a, zero], "slerp", t=0.25), math.sin(0.75 * math.pi / 2) * a) < 1e-7
    assert not merge([zero, zero], "slerp", t=0.25).any()


def test_nuslerp_is_slerp_at_the_share_of_the_second_weight() -> None:
    a, b = random(1), random(2, scale=2.0)
    assert error(merge([a, b], "nuslerp", (0.3, 0.9)), arc(a, b, 0.75)) < 1e-7


@pytest.mark.parametrize(("row_wise", "dim"), [(False, -1), (True, 0)])
@pytest.mark.parametrize("shape", [SHAPE, (6, 5, 4)])
def test_nuslerp_of_rows_and_columns(row_wise: bool, dim: int, shape: tuple[int, ...]) -> None:
    a, b = random(1, shape), random(2, shape) + 0.3
    given = {"nuslerp_flatten": False, "nuslerp_row_wise": row_wise}
    found = merge([a, b], "nuslerp", (0.6, 0.4), **given)
    assert error(found, arc(a, b, 0.4, dim)) < 2e-7
    assert error(found, arc(a, b, 0.4)) > 1e-3
    x, y = a.flatten(), b.flatten()
    assert error(merge([x, y], "nuslerp", (0.6, 0.4), **given), arc(x, y, 0.4)) < 2e-7


def test_nuslerp_on_a_base_merges_task_vectors() -> None:
    base, a, b = random(1), random(2), random(3)
    found = merge([a, b], "nuslerp", (1.0, 3.0), base=base)
    assert error(found, base.double() + arc(a - base, b - base, 0.75)) < 2e-7


def test_nuslerp_keeps_to_the_arc_where_slerp_goes_straight() -> None:
    a = random(1)
    b = a + 0.02 * random(2)
    found = merge([a, b], "nuslerp", (0.5, 0.5))
    assert error(found, arc(a, b, 0.5)) < 1e-7
    assert error(found, 0.5 * a.double() + 0.5 * b.double()) > 1e-5


def test_nuslerp_of_opposites_goes_straight_instead_of_nowhere() -> None:
    a = random(1)
    assert error(merge([a, -a], "nuslerp", (0.75, 0.25)), 0.5 * a.double()) < 1e-6


def mean_direction(models: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """As multislerp is defined: log maps projected onto the tangent space, then the exp map."""
    units = [m.double() / m.double().norm() for m in models]
    mean = sum((w * u for w, u in zip(weights, units, strict=True)), torch.zeros(()))
    pole = mean / mean.norm()
    tangent = sum(
        (w * (u - (u * pole).sum() * pole) for w, u in zip(weights, units, strict=True)),
        torch.zeros(()),
    )
    length = tangent.norm()
    point = torch.cos(length) * pole + torch.sin(length) / length.clamp(min=1e-300) * tangent
    norm = sum(w * float(m.double().norm()) for w, m in zip(weights, models, strict=True))
    found: Tensor = norm * point
    return found


@pytest.mark.parametrize("normalised", [True, False])
def test_multislerp_is_its_definition(normalised: bool) -> None:
    models = [random(1), random(2, scale=2.0), random(3) + 0.4]
    total = sum(WEIGHTS) if normalised else 1.0
    expected = mean_direction(models, [weight / total for weight in WEIGHTS])
    found = merge(models, "multislerp", WEIGHTS, normalize_weights=normalised)
    assert error(found, expected) < 1e-6


def test_multislerp_on_a_base_merges_task_vectors() -> None:
    base, *models = (random(seed) for seed in range(4))
    weights = [weight / sum(WEIGHTS) for weight in WEIGHTS]
    expected = base + mean_direction([m.double() - base for m in models], weights)
    assert error(merge(models, "multislerp", WEIGHTS, base=base), expected) < 1e-6


def test_where_directions_cancel_out_multislerp_is_the_weighted_sum() -> None:
    a = random(1)
    assert error(merge([a, -3 * a], "multislerp", (0.5, 0.5)), -a.double()) < 1e-6


@pytest.mark.parametrize("strategy", ["nuslerp", "multislerp"])
def test_weights_that_sum_to_zero_are_refused(strategy: str) -> None:
    with pytest.raises(CapabilityError, match="sum to 0"):
        merge([random(1), random(2)], strategy, (1.0, -1.0))


def karcher(models: Sequence[Tensor], steps: int, tol: float = 1e-5) -> Tensor:
    """The iteration on whole tensors."""
    norms = [float(m.double().norm()) for m in models]
    units = [m.double() / n for m, n in zip(models, norms, strict=True) if n]
    mean = torch.stack(units).mean(0)
    mean /= mean.norm()
    for _ in range(steps):
        tangents = []
        for unit in units:
            angle = (unit * mean).sum().clamp(-1, 1).acos()
            tangents.append((unit - angle.cos() * mean) * (angle / angle.sin()))
        step = torch.stack(tangents).mean(0)
        if step.norm() < tol:
            break
        mean = step.norm().cos() * mean + step.norm().sin() / step.norm() * step
    return mean * (sum(norms) / len(norms))


def spread(count: int) -> list[Tensor]:
    """Models about 60 degrees from one another, and of different norms."""
    return [(random(9) + random(seed)) * (1 + seed) for seed in range(count)]


@pytest.mark.parametrize("steps", [1, 2, 10])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_karcher_is_its_iteration(steps: int, count: int) -> None:
    models = spread(count)
    assert error(merge(models, "karcher", max_iter=steps), karcher(models, steps)) < 1e-6


def test_each_karcher_step_counts_and_tol_ends_them() -> None:
    models = [torch.tensor(v) for v in ([1.0, 0.1, 0.0], [0.0, 1.0, 0.2], [-0.5, 0.3, 1.0])]
    first, second = (merge(models, "karcher", max_iter=n) for n in (1, 2))
    assert error(first, second) > 1e-5
    assert error(first, karcher(models, 1)) < 1e-6
    assert torch.equal(merge(models, "karcher", tol=10.0), merge(models, "multislerp"))


def test_karcher_of_two_is_the_middle_of_the_arc_at_the_mean_norm() -> None:
    a, b = spread(2)
    middle = arc(a / a.norm(), b / b.norm(), 0.5)
    assert error(merge([a, b], "karcher"), middle * (a.norm() + b.norm()).double() / 2) < 1e-6


def test_a_zero_has_no_direction_but_a_norm_for_karcher() -> None:
    a, b = spread(2)
    zero = torch.zeros(SHAPE)
    assert error(merge([a, zero, b], "karcher"), karcher([a, zero, b], 10)) < 1e-6
    assert not merge([zero, zero], "karcher").any()


def test_karcher_of_opposites_is_the_plain_mean() -> None:
    a = random(1)
    assert error(merge([a, -3 * a], "karcher"), -a.double()) < 1e-6


ALL: list[tuple[str, dict[str, Any]]] = [
    ("slerp", {"t": 0.4}),
    ("nuslerp", {}),
    ("nuslerp", {"nuslerp_flatten": False}),
    ("nuslerp", {"nuslerp_flatten": False, "nuslerp_row_wise": True}),
    ("multislerp", {}),
    ("karcher", {}),
]


@pytest.mark.parametrize(("strategy", "given"), ALL)
def test_of_the_same_model_twice_it_is_that_model(strategy: str, given: dict[str, Any]) -> None:
    a = random(1)
    assert error(merge([a, a.clone()], strategy, **given), a.double()) < 1e-6


@pytest.mark.parametrize(("strategy", "given"), ALL)
def test_chunks_and_threads_change_no_bit(strategy: str, given: dict[str, Any]) -> None:
    shapes = {"a": (130, 70), "b": (7,), "c": (), "d": (3, 5, 40), "e": (0, 4)}
    states = [
        {name: random(seed, shape).add_(0.01) for name, shape in shapes.items()} for seed in (1, 2)
    ]
    found = [
        merge_states(
            states, strategy, CATALOGUE, settings=Settings(threads=n, chunk_size=size), **given
        )
        for size, n in [(2**18, 1), (64, 2), (1000, 3)]
    ]
    for other in found[1:]:
        assert all(torch.equal(other[name], found[0][name]) for name in shapes)


@settings(max_examples=25, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 1000), min_size=2, max_size=4, unique=True),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
    strategy=st.sampled_from(["multislerp", "karcher"]),
)
def test_the_order_of_models_does_not_matter(seeds: list[int], scale: float, strategy: str) -> None:
    models = [random(seed, (5, 3), scale) + 0.5 * scale for seed in seeds]
    turned = merge(models[::-1], strategy)
    assert error(merge(models, strategy), turned) < 1e-6


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 0.99))
def test_nuslerp_turned_round_is_the_same(seed: int, weight: float) -> None:
    a, b = random(seed, (5, 3)), random(seed + 1, (5, 3))
    turned = merge([b, a], "nuslerp", (1 - weight, weight))
    assert error(merge([a, b], "nuslerp", (weight, 1 - weight)), turned) < 1e-5
