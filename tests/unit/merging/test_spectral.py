"""tsv, iso_c and iso_cts against SVDs in float64, as their papers write them."""

from collections.abc import Callable, Sequence
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
SHAPES = [(20, 13), (13, 20), (12, 12), (600, 9), (9, 600)]
STRATEGIES = ["tsv", "iso_c", "iso_cts"]


def random(seed: int, shape: Sequence[int], scale: float = 1.0) -> Tensor:
    return scale * torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))


def low_rank(seed: int, shape: Sequence[int], rank: int) -> Tensor:
    return random(seed, (shape[0], rank)) @ random(seed + 50, (rank, shape[1]))


def merge(strategy: str, deltas: Sequence[Tensor], base: Tensor | None = None, **p: Any) -> Tensor:
    """Return what is added to the base, which is zero unless it is given."""
    under = torch.zeros_like(deltas[0]) if base is None else base
    states = [{"w": under + delta} for delta in deltas]
    merged = merge_states(states, strategy, CATALOGUE, base={"w": under}, **p)
    return merged["w"].double() - under.double()


def svd(matrix: Tensor, rank: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    u, s, vt = torch.linalg.svd(matrix.double(), full_matrices=False)
    return u[:, :rank], s[:rank], vt[:rank]


def nearest_orthogonal(matrix: Tensor) -> Tensor:
    u, _, vt = svd(matrix)
    return u @ vt


def tsv(deltas: Sequence[Tensor]) -> Tensor:
    rank = min(deltas[0].shape) // len(deltas)
    parts = [svd(delta, rank) for delta in deltas]
    u = nearest_orthogonal(torch.cat([part[0] for part in parts], 1))
    vt = nearest_orthogonal(torch.cat([part[2] for part in parts], 0))
    return u @ torch.diag(torch.cat([part[1] for part in parts])) @ vt


def iso_c(deltas: Sequence[Tensor]) -> Tensor:
    u, s, vt = svd(torch.stack(list(deltas)).double().sum(0))
    return s.mean() * u @ vt


def iso_cts(deltas: Sequence[Tensor], fraction: float = 0.8) -> Tensor:
    most, count = min(deltas[0].shape), len(deltas)
    own = round((most - int(most * fraction)) / count)
    common = svd(torch.stack(list(deltas)).double().sum(0), most - own * count)
    outside = torch.eye(deltas[0].shape[0]) - common[0] @ common[0].T
    parts = [common, *(svd(outside @ delta.double(), own) for delta in deltas)]
    u = nearest_orthogonal(torch.cat([part[0] for part in parts], 1))
    vt = nearest_orthogonal(torch.cat([part[2] for part in parts], 0))
    return torch.cat([part[1] for part in parts]).mean() * u @ vt


REFERENCES: dict[str, Callable[[Sequence[Tensor]], Tensor]] = {
    "tsv": tsv,
    "iso_c": iso_c,
    "iso_cts": iso_cts,
}


def error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [2, 3])
def test_it_is_what_svds_give(strategy: str, shape: tuple[int, int], count: int) -> None:
    deltas = [random(seed, shape) for seed in range(count)]
    assert error(merge(strategy, deltas), REFERENCES[strategy](deltas)) < 1e-5


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(20, 13), (13, 20)])
def test_the_common_fraction(fraction: float, shape: tuple[int, int]) -> None:
    deltas = [random(seed, shape) for seed in range(3)]
    found = merge("iso_cts", deltas, common_fraction=fraction)
    assert error(found, iso_cts(deltas, fraction)) < 1e-5


def test_with_nothing_but_common_directions_iso_cts_is_iso_c() -> None:
    deltas = [random(seed, (20, 13)) for seed in range(3)]
    assert error(merge("iso_cts", deltas, common_fraction=1.0), merge("iso_c", deltas)) < 1e-6


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_lambda_scales_matrices_and_vectors_alike(strategy: str) -> None:
    for shape in [(9, 6), (9,), (2, 3, 4)]:
        base, deltas = random(7, shape), [random(seed, shape) for seed in range(2)]
        once, twice = (merge(strategy, deltas, base, **{"lambda": n}) for n in (1.0, 2.0))
        assert error(twice, 2 * once) < 1e-6


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("shape", [(9,), (), (2, 3, 4)])
def test_what_is_no_matrix_is_averaged(strategy: str, shape: tuple[int, ...]) -> None:
    deltas = [random(seed, shape) for seed in range(3)]
    expected = torch.stack(deltas).double().mean(0)
    assert error(merge(strategy, deltas), expected) < 1e-6


@pytest.mark.parametrize("shape", [(20, 13), (13, 20)])
def test_tasks_of_few_and_perpendicular_directions_are_kept_whole_by_tsv(
    shape: tuple[int, int],
) -> None:
    left, right = torch.linalg.qr(random(1, (20, 12)))[0], torch.linalg.qr(random(2, (13, 12)))[0]
    deltas = [
        left[:, n : n + 3] * torch.tensor([3.0, 2.0, 1.0]) @ right[:, n : n + 3].T
        for n in (0, 3, 6)
    ]
    deltas = deltas if shape == (20, 13) else [delta.T.contiguous() for delta in deltas]
    assert error(merge("tsv", deltas), torch.stack(deltas).double().sum(0)) < 1e-6


@pytest.mark.parametrize("shape", [(20, 12), (12, 20)])
def test_the_same_task_twice_is_its_leading_half_for_tsv(shape: tuple[int, int]) -> None:
    delta = random(1, shape)
    u, s, vt = svd(delta, 6)
    assert error(merge("tsv", [delta, delta.clone()]), u @ torch.diag(s) @ vt) < 1e-5


def test_tsv_of_one_task_is_that_task() -> None:
    delta = random(1, (20, 13))
    assert error(merge("tsv", [delta]), delta.double()) < 1e-5


@pytest.mark.parametrize("strategy", ["iso_c", "iso_cts"])
@pytest.mark.parametrize("shape", [(20, 13), (13, 20)])
def test_isotropic_merges_have_equal_singular_values(strategy: str, shape: tuple[int, int]) -> None:
    found = svd(merge(strategy, [random(seed, shape) for seed in range(3)]))[1]
    assert float((found.max() - found.min()) / found.max()) < 1e-5


@pytest.mark.parametrize("strategy", ["iso_c", "iso_cts"])
def test_directions_that_no_task_has_stay_zero(strategy: str) -> None:
    deltas = [low_rank(seed, (40, 30), 2) for seed in range(3)]
    found = merge(strategy, deltas)
    values = svd(found)[1]
    assert float(values[6:].max() / values[0]) < 1e-4
    assert values[5] / values[0] > 0.9
    _, s, _ = svd(torch.stack(deltas).double().sum(0))
    if strategy == "iso_c":
        assert float(values[0]) == pytest.approx(float(s[:6].mean()), rel=1e-4)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5,), (0, 4)])
def test_no_change_leaves_the_base(strategy: str, shape: tuple[int, ...]) -> None:
    base = random(1, shape)
    zeros = [torch.zeros(shape)] * 2
    assert not merge(strategy, zeros, base).any()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_task_that_changed_nothing_does_no_harm(strategy: str) -> None:
    deltas = [random(1, (12, 8)), torch.zeros(12, 8)]
    assert torch.isfinite(merge(strategy, deltas)).all()
    if strategy != "tsv":
        assert error(merge(strategy, deltas), iso_c(deltas)) < (1e-5 if strategy == "iso_c" else 1)


@pytest.mark.parametrize("scale", [1e-5, 1e3])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_size_of_task_vectors_only_scales_the_result(strategy: str, scale: float) -> None:
    deltas = [random(seed, (12, 8)) for seed in range(2)]
    found = merge(strategy, [scale * delta for delta in deltas])
    assert error(found / scale, merge(strategy, deltas)) < 1e-5


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_base_is_needed(strategy: str) -> None:
    with pytest.raises(CapabilityError, match="base"):
        merge_states([{"w": random(1, (3, 3))}] * 2, strategy, CATALOGUE)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_chunks_and_threads_change_no_bit(strategy: str) -> None:
    shapes = {"a": (70, 30), "b": (7,), "c": (30, 70), "d": (3, 5, 40)}
    base = {name: random(0, shape) for name, shape in shapes.items()}
    states = [{n: v + random(m, v.shape) for n, v in base.items()} for m in (1, 2, 3)]
    found = [
        merge_states(
            states,
            strategy,
            CATALOGUE,
            base=base,
            settings=Settings(threads=threads, chunk_size=size),
        )
        for size, threads in [(2**18, 1), (64, 2), (1000, 3)]
    ]
    for other in found[1:]:
        assert all(torch.equal(other[name], found[0][name]) for name in shapes)


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(3)), st.sampled_from(STRATEGIES), st.booleans())
def test_the_order_of_models_does_not_matter(order: list[int], strategy: str, tall: bool) -> None:
    deltas = [random(seed, (12, 8) if tall else (8, 12)) for seed in range(3)]
    turned = merge(strategy, [deltas[n] for n in order])
    assert error(merge(strategy, deltas), turned) < 1e-5
