"""Merges of LoRA adapters as factors, without a dense matrix."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.merging.adapters.lowrank import (
    Basis,
    concatenate,
    recompress,
    require_same_shape,
)
from adapterhub_lite.streaming.factors import Compressed, Factors, RankChoice
from adapterhub_lite.streaming.selection import top_magnitudes


class WeightedSum:
    """What sums of updates share: they take any weights."""

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Return nothing: any weights can be summed."""
        return ()


class Cat(WeightedSum):
    """ΔW = Σ wᵢsᵢBᵢAᵢ, the factors stacked: exact, of rank Σrᵢ."""

    def merge_factors(
        self,
        factors: Sequence[Factors],
        params: Any,
        models: Sequence[Any],
        rank: RankChoice | None,
    ) -> Compressed:
        """Stack; raises CapabilityError when a lower rank is asked for."""
        stacked = concatenate(factors, _weights(models))
        _refuse_lower(rank, stacked.rank, "cat stacks the factors to rank")
        return Compressed(stacked, 0.0)


class Svd(WeightedSum):
    """The first r terms of the SVD of Σ wᵢsᵢBᵢAᵢ (Eckart and Young, 1936).

    By default of the largest rank among the adapters.
    """

    def merge_factors(
        self,
        factors: Sequence[Factors],
        params: Any,
        models: Sequence[Any],
        rank: RankChoice | None,
    ) -> Compressed:
        """Return the best approximation of the rank."""
        largest = max(1, *(part.rank for part in factors))
        return recompress(factors, _weights(models), rank or RankChoice(rank=largest))


class LinearExact(WeightedSum):
    """ΔW = Σ wᵢsᵢBᵢAᵢ, of the least rank that loses nothing."""

    def merge_factors(
        self,
        factors: Sequence[Factors],
        params: Any,
        models: Sequence[Any],
        rank: RankChoice | None,
    ) -> Compressed:
        """Sum; raises CapabilityError when a lower rank than the sum's is asked for."""
        exact = recompress(factors, _weights(models), RankChoice())
        _refuse_lower(rank, exact.factors.rank, "the exact sum is of rank")
        return exact


class Knots:
    """KnOTS (Stoica et al., 2024): the V blocks of a joint SVD are merged, elementwise.

    The SVD is that of a core of Σrᵢ by Σrᵢ: with B = [s₁B₁ … sₙBₙ] = QR and Aᵢᵀ = QᵢTᵢ, the joint
    matrix [ΔW₁ … ΔWₙ] is Q [R₁T₁ᵀ … RₙTₙᵀ] diag(Q₁ᵀ … Qₙᵀ).
    """

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Refuse densities where nothing is trimmed."""
        if params.merge == "linear" and any(model.density < 1 for model in models):
            return ["a density is for merge: ties"]
        return ()

    def merge_factors(
        self,
        factors: Sequence[Factors],
        params: Any,
        models: Sequence[Any],
        rank: RankChoice | None,
    ) -> Compressed:
        """Merge in the joint space; the result has the rank that it has there, or the one asked."""
        require_same_shape(factors)
        columns, blocks = _joint(factors, params.tolerance)
        weights = _weights(models)
        if params.merge == "ties":
            trimmed = [
                _trimmed(block, model.density) for block, model in zip(blocks, models, strict=True)
            ]
            merged = _elected(trimmed, weights, params.normalize)
        else:
            merged = _sum(blocks, weights)
        result = Factors(merged.mul_(params.scale), columns)
        return recompress([result], [1.0], rank or RankChoice())


def _sum(blocks: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """Return Σ wᵢ · blockᵢ, as a new tensor."""
    total = blocks[0] * weights[0]
    for block, weight in zip(blocks[1:], weights[1:], strict=True):
        total.add_(block, alpha=weight)
    return total


def _joint(factors: Sequence[Factors], tolerance: float) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return UΣ (outputs by k) and each adapter's block of Vᵀ (k by inputs), in 64 bits."""
    up = torch.cat([part.up.double() * part.scaling for part in factors], dim=1)
    outer = Basis(up)
    inners = [Basis(part.down.double().T) for part in factors]
    parts = _columns(outer.core, [part.rank for part in factors])
    cores = [part @ inner.core.T for part, inner in zip(parts, inners, strict=True)]
    left, values, right = torch.linalg.svd(torch.cat(cores, dim=1), full_matrices=False)
    kept = int((values > tolerance * values.max()).sum()) if len(values) else 0
    blocks = _columns(right[:kept], [core.shape[1] for core in cores])
    return outer.times(left[:, :kept] * values[:kept]), [
        inner.times(block.T).T for block, inner in zip(blocks, inners, strict=True)
    ]


def _columns(matrix: torch.Tensor, widths: Sequence[int]) -> list[torch.Tensor]:
    """Return blocks of columns, one beside the other."""
    ends = list(accumulate(widths))
    return [matrix[:, end - width : end] for end, width in zip(ends, widths, strict=True)]


def _trimmed(block: torch.Tensor, density: float) -> torch.Tensor:
    """Return a block with its largest magnitudes alone, compared in 32 bits."""
    rounded = block.float()
    count = round(density * rounded.numel())
    return block * top_magnitudes(lambda: [rounded], rounded.numel(), count).mask(rounded)


def _elected(
    blocks: Sequence[torch.Tensor], weights: Sequence[float], normalize: bool
) -> torch.Tensor:
    """Return the weighted sum, or mean, of the numbers whose sign is that of the weighted sum."""
    weighted = [block * weight for block, weight in zip(blocks, weights, strict=True)]
    positive = torch.stack(weighted).sum(0) >= 0
    total, counted = torch.zeros_like(blocks[0]), torch.zeros_like(blocks[0])
    for term, weight in zip(weighted, weights, strict=True):
        agrees = ((term > 0) & positive) | ((term < 0) & ~positive)
        total += term * agrees
        counted += agrees * weight
    if normalize:
        counted[counted == 0] = 1.0
        total /= counted
    return total


def _weights(models: Sequence[Any]) -> list[float]:
    return [model.weight for model in models]


def _refuse_lower(rank: RankChoice | None, needed: int, what: str) -> None:
    """Refuse a rank, or an energy, that would lose something; raises CapabilityError."""
    if rank is None or (rank.energy is None and (rank.rank is None or rank.rank >= needed)):
        return
    asked = f"a rank of {rank.rank}" if rank.rank else f"an energy of {rank.energy:g}"
    raise CapabilityError(
        f"{what} {needed}, and {asked} is asked for",
        hint="take the strategy svd, which approximates, or leave the rank out",
    )
