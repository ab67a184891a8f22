"""Sums of factors, their best approximations, and those of dense changes."""

from collections.abc import Iterator, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterhub_lite.errors import MergeError
from adapterhub_lite.merging.adapters.lowrank import concatenate, recompress
from adapterhub_lite.merging.adapters.randomised import approximate
from adapterhub_lite.streaming.factors import Factors, RankChoice, no_change


def some_factors(
    ranks: Sequence[int], shape: tuple[int, int] = (24, 17), seed: int = 0
) -> list[Factors]:
    generator = torch.Generator().manual_seed(seed)
    return [
        Factors(
            torch.randn(rank, shape[1], generator=generator),
            torch.randn(shape[0], rank, generator=generator),
            0.5 + number,
        )
        for number, rank in enumerate(ranks)
    ]


def true_sum(factors: Sequence[Factors], weights: Sequence[float]) -> torch.Tensor:
    """Return Σ w·s·B·A in float64."""
    terms = [
        weight * part.scaling * part.up.double() @ part.down.double()
        for part, weight in zip(factors, weights, strict=True)
    ]
    return torch.stack(terms).sum(0)


def product(factors: Factors) -> torch.Tensor:
    return factors.scaling * factors.up.double() @ factors.down.double()


def off(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def truncated(matrix: torch.Tensor, rank: int) -> torch.Tensor:
    left, values, right = torch.linalg.svd(matrix)
    return (left[:, :rank] * values[:rank]) @ right[:rank]


def blocks_of(matrix: torch.Tensor, rows: int = 7) -> "type[Iterator[torch.Tensor]]":
    def blocks() -> Iterator[torch.Tensor]:
        return (matrix[start : start + rows] for start in range(0, len(matrix), rows))

    return blocks  # type: ignore[return-value]


@settings(max_examples=40)
@given(
    ranks=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    seed=st.integers(0, 99),
    weights=st.lists(st.floats(-2, 2), min_size=4, max_size=4),
)
def test_stacking_is_the_sum(ranks: list[int], seed: int, weights: list[float]) -> None:
    factors = some_factors(ranks, seed=seed)
    stacked = concatenate(factors, weights[: len(ranks)])
    expected = true_sum(factors, weights[: len(ranks)])
    assert stacked.rank == sum(ranks)
    assert float((product(stacked) - expected).abs().max()) <= 1e-5 * (1 + float(expected.norm()))


@pytest.mark.parametrize("shape", [(24, 17), (9, 30), (6, 6)])
@pytest.mark.parametrize("rank", [1, 3, 5])
def test_recompressing_is_the_dense_svd(shape: tuple[int, int], rank: int) -> None:
    factors, weights = some_factors([4, 2, 5], shape), [0.7, -1.3, 0.2]
    dense = true_sum(factors, weights)
    found = recompress(factors, weights, RankChoice(rank=rank))
    best = truncated(dense, rank)
    assert found.factors.rank == rank
    assert found.factors.scaling == 1
    assert off(product(found.factors), best) < 1e-6
    assert found.error == pytest.approx(float((dense - best).norm() / dense.norm()), rel=1e-6)


def test_without_a_choice_nothing_is_lost_and_no_rank_is_spent() -> None:
    first, second = some_factors([3, 4])
    found = recompress([first, second, first], [1.0, 0.5, 0.25], RankChoice())
    assert found.factors.rank == 7
    assert found.error < 1e-7
    assert off(product(found.factors), true_sum([first, second, first], [1.0, 0.5, 0.25])) < 1e-6


def test_what_cancels_has_rank_zero() -> None:
    (part,) = some_factors([3])
    found = recompress([part, part], [1.0, -1.0], RankChoice())
    assert float(product(found.factors).norm()) < 1e-6


@pytest.mark.parametrize("energy", [0.3, 0.8, 0.95, 0.999])
def test_an_energy_is_kept_by_the_least_rank(energy: float) -> None:
    factors, weights = some_factors([5, 6]), [1.0, 0.4]
    dense = true_sum(factors, weights)
    squares = torch.linalg.svdvals(dense).square()
    found = recompress(factors, weights, RankChoice(energy=energy))
    rank = found.factors.rank
    assert float(squares[:rank].sum()) >= energy * float(squares.sum())
    assert float(squares[: rank - 1].sum()) < energy * float(squares.sum())
    assert found.energy >= energy - 1e-9


def test_all_energy_is_the_exact_rank() -> None:
    factors = some_factors([2, 3])
    assert recompress(factors, [1.0, 1.0], RankChoice(energy=1.0)).factors.rank == 5


def test_no_change_at_all() -> None:
    found = recompress([no_change((8, 5)), no_change((8, 5))], [1.0, 1.0], RankChoice(rank=4))
    assert found.factors.rank == 0
    assert found.factors.shape == (8, 5)
    assert found.error == 0


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"rank": 0}, "below 1"),
        ({"energy": 0.0}, "no share"),
        ({"energy": 1.5}, "no share"),
        ({"rank": 4, "energy": 0.5}, "both"),
    ],
)
def test_choices_that_make_no_sense(choice: dict[str, float], words: str) -> None:
    with pytest.raises(MergeError, match=words):
        RankChoice(**choice)  # type: ignore[arg-type]


def test_other_shapes_are_refused() -> None:
    factors = [*some_factors([2], (8, 5)), *some_factors([2], (8, 6))]
    with pytest.raises(MergeError, match=r"\(8, 5\).*\(8, 6\)"):
        recompress(factors, [1.0, 1.0], RankChoice())


def test_a_slice_of_the_product_is_the_product() -> None:
    (part,) = some_factors([3], (11, 7))
    flat = product(part).view(-1)
    for start, stop in ((0, 77), (3, 20), (13, 14), (70, 77)):
        assert torch.allclose(part.read(start, stop).double(), flat[start:stop], atol=1e-5)


def noisy(shape: tuple[int, int], rank: int, noise: float) -> torch.Tensor:
    (part,) = some_factors([rank], shape, seed=3)
    generator = torch.Generator().manual_seed(4)
    return product(part).float() + noise * torch.randn(shape, generator=generator)


@pytest.mark.parametrize("shape", [(150, 90), (90, 150), (20, 30)])
def test_a_dense_change_is_approximated_almost_as_well_as_possible(shape: tuple[int, int]) -> None:
    dense = noisy(shape, 5, 0.3)
    found = approximate(blocks_of(dense), shape, RankChoice(rank=8), "k")
    lost = float((dense.double() - product(found.factors)).norm() / dense.double().norm())
    values = torch.linalg.svdvals(dense.double())
    best = float(values[8:].norm() / values.norm())
    assert found.factors.rank == 8
    assert best - 1e-6 <= lost <= 1.005 * best
    assert found.error == pytest.approx(lost, rel=1e-4)


@pytest.mark.parametrize("shape", [(150, 90), (30, 20)])
@pytest.mark.parametrize("energy", [0.5, 0.9, 0.99])
def test_a_dense_change_keeps_its_energy(shape: tuple[int, int], energy: float) -> None:
    dense = noisy(shape, 5, 0.3)
    squares = torch.linalg.svdvals(dense.double()).square()
    found = approximate(blocks_of(dense), shape, RankChoice(energy=energy), "k")
    least = int((squares.cumsum(0) < energy * squares.sum()).sum()) + 1
    assert least <= found.factors.rank <= least + 1
    assert 1 - found.error**2 >= energy - 1e-4


def test_a_dense_change_of_low_rank_is_found_exactly() -> None:
    dense = noisy((120, 100), 5, 0.0)
    for choice, bound in ((RankChoice(rank=8), 1e-5), (RankChoice(), 1e-5)):
        found = approximate(blocks_of(dense), (120, 100), choice, "k")
        assert found.error < bound
        assert off(product(found.factors), dense.double()) < bound


def test_the_sketch_depends_on_its_key_alone() -> None:
    dense = noisy((150, 90), 40, 1.0)
    first, again, other = (
        approximate(blocks_of(dense), (150, 90), RankChoice(rank=4), key).factors
        for key in ("a", "a", "b")
    )
    assert first.down.equal(again.down)
    assert first.up.equal(again.up)
    assert not first.down.equal(other.down)


def test_a_change_of_zeros() -> None:
    found = approximate(blocks_of(torch.zeros(90, 100)), (90, 100), RankChoice(rank=4), "k")
    assert found.error == 0
    assert float(product(found.factors).norm()) == 0
