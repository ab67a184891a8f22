"""The strategies that merge factors, against dense references in float64."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch

from adapterhub_lite.errors import AdapterHubError, CapabilityError
from adapterhub_lite.merging.memory import split_params
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.streaming.factors import Compressed, Factors, RankChoice, no_change
from tests.unit.merging.test_lowrank import off, product, some_factors, true_sum, truncated

CATALOGUE = get_catalogue(first_party_only=True)
NAMES = ("cat", "svd", "linear-exact", "knots")
WEIGHTS = (0.7, -0.4, 1.2)


def merge(
    name: str,
    factors: Sequence[Factors],
    weights: Sequence[float],
    rank: RankChoice | None = None,
    each: Sequence[Mapping[str, Any]] = (),
    **parameters: Any,
) -> Compressed:
    spec = CATALOGUE.strategy(name)
    strategy = CATALOGUE.implementation(spec)
    own = [
        {"weight": weight, **more}
        for weight, more in zip(weights, each or [{}] * len(weights), strict=True)
    ]
    params, models = split_params(spec, parameters, own)
    assert not strategy.check(params, models)
    merged: Compressed = strategy.merge_factors(factors, params, models, rank)
    return merged


@pytest.mark.parametrize("name", NAMES)
def test_one_adapter_stays_what_it_is(name: str) -> None:
    factors = some_factors([5])
    assert off(product(merge(name, factors, [1.0]).factors), true_sum(factors, [1.0])) < 1e-6


@pytest.mark.parametrize("name", ["cat", "linear-exact"])
def test_exact_sums(name: str) -> None:
    factors = some_factors([3, 4, 2])
    found = merge(name, factors, WEIGHTS)
    assert found.factors.rank == 9
    assert found.error < 1e-7
    assert off(product(found.factors), true_sum(factors, WEIGHTS)) < 1e-6


@pytest.mark.parametrize("name", ["cat", "linear-exact"])
def test_an_exact_sum_refuses_a_rank_that_would_lose_something(name: str) -> None:
    factors = some_factors([3, 4])
    with pytest.raises(CapabilityError, match="rank 7") as caught:
        merge(name, factors, [1.0, 1.0], RankChoice(rank=6))
    assert "svd" in caught.value.hint
    with pytest.raises(CapabilityError, match="energy"):
        merge(name, factors, [1.0, 1.0], RankChoice(energy=0.9))
    for rank in (RankChoice(rank=7), RankChoice(rank=20), RankChoice()):
        assert merge(name, factors, [1.0, 1.0], rank).factors.rank == 7


def test_linear_exact_spends_no_rank_on_what_is_shared() -> None:
    (part,) = some_factors([4])
    found = merge("linear-exact", [part, part], [0.5, 0.5], RankChoice(rank=4))
    assert found.factors.rank == 4
    assert off(product(found.factors), true_sum([part], [1.0])) < 1e-6


def test_svd_is_the_best_of_its_rank_and_by_default_of_the_largest() -> None:
    factors = some_factors([3, 5, 2])
    dense = true_sum(factors, WEIGHTS)
    for rank, expected in ((None, 5), (RankChoice(rank=2), 2), (RankChoice(energy=0.9), None)):
        found = merge("svd", factors, WEIGHTS, rank)
        assert expected is None or found.factors.rank == expected
        assert off(product(found.factors), truncated(dense, found.factors.rank)) < 1e-6


def test_an_adapter_without_the_module_adds_nothing() -> None:
    factors = some_factors([3, 2])
    with_nothing = [factors[0], no_change(factors[0].shape), factors[1]]
    for name in ("cat", "linear-exact", "svd"):
        found = merge(name, with_nothing, [0.5, 9.0, 2.0], RankChoice())
        assert off(product(found.factors), true_sum(factors, [0.5, 2.0])) < 1e-6


def knots_of(
    factors: Sequence[Factors], weights: Sequence[float], densities: Sequence[float]
) -> torch.Tensor:
    """Return the dense KnOTS-TIES merge: SVD of the concatenation, TIES of the V blocks."""
    updates = [true_sum([part], [1.0]) for part in factors]
    left, values, right = torch.linalg.svd(torch.cat(updates, dim=1), full_matrices=False)
    rank = int((values > 1e-4 * values[0]).sum())
    blocks = right[:rank].split([update.shape[1] for update in updates], dim=1)
    kept = []
    for block, density in zip(blocks, densities, strict=True):
        count = round(density * block.numel())
        smallest = block.abs().flatten().sort(descending=True).values[count - 1]
        kept.append(torch.where(block.abs() >= smallest, block, 0.0))
    weighted = torch.stack([w * block for w, block in zip(weights, kept, strict=True)])
    sign = torch.where(weighted.sum(0) >= 0, 1.0, -1.0)
    agree = weighted.sign() == sign
    counted = (agree * torch.tensor(weights)[:, None, None]).sum(0)
    merged = (weighted * agree).sum(0) / torch.where(counted == 0, 1.0, counted)
    return (left[:, :rank] * values[:rank]) @ merged


@pytest.mark.parametrize("densities", [(1.0, 1.0, 1.0), (0.5, 0.3, 0.8)])
def test_knots_is_ties_in_the_joint_space(densities: tuple[float, ...]) -> None:
    factors, weights = some_factors([3, 4, 2]), [0.5, 1.0, 0.8]
    each = [{"density": density} for density in densities]
    found = merge("knots", factors, weights, each=each)
    assert off(product(found.factors), knots_of(factors, weights, densities)) < 1e-5
    halved = merge("knots", factors, weights, each=each, **{"lambda": 0.5})
    assert off(product(halved.factors) * 2, product(found.factors)) < 1e-6


def test_a_linear_merge_of_knots_is_the_sum() -> None:
    factors = some_factors([3, 4, 2])
    found = merge("knots", factors, WEIGHTS, merge="linear", tolerance=0)
    assert off(product(found.factors), true_sum(factors, WEIGHTS)) < 1e-6


def test_knots_gives_the_rank_that_is_asked_for() -> None:
    factors = some_factors([3, 4])
    whole = product(merge("knots", factors, [1.0, 1.0]).factors)
    found = merge("knots", factors, [1.0, 1.0], RankChoice(rank=2))
    assert found.factors.rank == 2
    assert off(product(found.factors), truncated(whole, 2)) < 1e-5


def test_knots_of_nothing_is_nothing() -> None:
    found = merge("knots", [no_change((6, 5)), no_change((6, 5))], [1.0, 1.0])
    assert found.factors.rank == 0


def test_knots_refuses_a_density_that_would_do_nothing() -> None:
    spec = CATALOGUE.strategy("knots")
    params, models = split_params(spec, {"merge": "linear", "density": 0.5}, [{}, {}])
    assert "ties" in CATALOGUE.implementation(spec).check(params, models)[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_adapters_does_not_matter(name: str) -> None:
    factors = some_factors([3, 4, 2])
    there = merge(name, factors, WEIGHTS, RankChoice())
    back = merge(name, factors[::-1], WEIGHTS[::-1], RankChoice())
    assert off(product(there.factors), product(back.factors)) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_adapters_of_other_shapes_are_refused(name: str) -> None:
    factors = [*some_factors([2], (8, 5)), *some_factors([2], (9, 5))]
    with pytest.raises(AdapterHubError, match=r"\(8, 5\).*\(9, 5\)"):
        merge(name, factors, [1.0, 1.0])
