"""Low-rank approximation of a dense change that is read a few rows at a time.

The randomised range finder with subspace iteration of Halko, Martinsson and Tropp (2011,
https://arxiv.org/abs/0909.4061): a sketch of the columns, sharpened by passes over the rows. The
error is not estimated, but measured on what is written, in a last pass.
"""

import math
from collections.abc import Callable, Iterator
from typing import Final

import torch

from adapterhub_lite.merging.adapters.lowrank import exact_rank
from adapterhub_lite.streaming.factors import Compressed, Factors, RankChoice
from adapterhub_lite.streaming.randomness import LEVELS, draws, stream_key

Blocks = Callable[[], Iterator[torch.Tensor]]
"""Gives the rows of a change in their order, some at a time (rows by inputs, float32), anew."""

POWER_ITERATIONS: Final = 4
OVERSAMPLING: Final = 16
FIRST_SKETCH: Final = 32
"""The width with which the search for an energy begins; it is doubled until it suffices."""


def approximate(blocks: Blocks, shape: tuple[int, int], choice: RankChoice, key: str) -> Compressed:
    """Return a nearly best approximation of a dense change, of the rank that is chosen.

    ``key`` seeds the sketch. A change that a sketch would not be much thinner than is decomposed
    exactly, and held in memory for it; so it is where the exact rank is asked for.
    """
    narrow = min(shape)
    width = FIRST_SKETCH if choice.rank is None else choice.rank + OVERSAMPLING
    exact_rank_wanted = choice.rank is None and choice.energy is None
    while 2 * width < narrow and not exact_rank_wanted:
        factors = _sketched(blocks, shape, width, choice, key)
        if factors is not None:
            return Compressed(factors, _error(blocks, factors))
        width *= 2
    factors = _decomposed(torch.cat(list(blocks())), choice)
    return Compressed(factors, _error(blocks, factors))


def _sketched(
    blocks: Blocks, shape: tuple[int, int], width: int, choice: RankChoice, key: str
) -> Factors | None:
    """Return factors out of a sketch; None where it holds less energy than is asked for."""
    directions = _signs(stream_key("sketch", key, width), shape[1], width)
    for _ in range(POWER_ITERATIONS):
        directions = _basis(_through(blocks, _basis(_onto(blocks, directions))))
    outer = _basis(_onto(blocks, directions))
    inner = _through(blocks, outer)  # inputs by width: (outerᵀΔW)ᵀ
    basis, core = torch.linalg.qr(inner.double())
    left, values, right = torch.linalg.svd(core.T)
    squares = values.square()
    rank = choice.of(squares, _squared_norm(blocks), exact_rank(values, shape))
    if rank is None:
        return None
    roots = values[:rank].sqrt()
    down = (right[:rank] * roots[:, None]) @ basis.T
    up = outer.double() @ (left[:, :rank] * roots)
    return Factors(down.float(), up.float())


def _decomposed(change: torch.Tensor, choice: RankChoice) -> Factors:
    """Return factors out of the eigenvectors of the smaller Gram matrix, in 64 bits.

    A singular value is then known to half the digits, beside the largest: as many as the change
    itself has in 32 bits.
    """
    wide = change.shape[0] <= change.shape[1]
    matrix = (change if wide else change.T).double()
    squares, vectors = torch.linalg.eigh(matrix @ matrix.T)
    squares, vectors = squares.flip(0).clamp_(min=0), vectors.flip(1)
    exact = int((squares > float(squares[0]) * torch.finfo(torch.float32).eps ** 2).sum())
    rank = choice.of(squares, float(squares.sum()), exact)
    kept = vectors[:, : exact if rank is None else rank]
    roots = squares[: kept.shape[1]].pow(0.25)
    up, down = kept * roots, (kept / roots).T @ matrix
    factors = Factors(down.float(), up.float())
    return factors if wide else factors.transposed


def _onto(blocks: Blocks, directions: torch.Tensor) -> torch.Tensor:
    """Return ΔW · directions (outputs by width)."""
    return torch.cat([block @ directions for block in blocks()])


def _through(blocks: Blocks, rows: torch.Tensor) -> torch.Tensor:
    """Return ΔWᵀ · rows (inputs by width), for rows of ΔW's outputs."""
    total: torch.Tensor | None = None
    start = 0
    for block in blocks():
        part = block.T @ rows[start : start + len(block)]
        total = part if total is None else total.add_(part)
        start += len(block)
    assert total is not None, "a change has rows"
    return total


def _basis(columns: torch.Tensor) -> torch.Tensor:
    basis: torch.Tensor = torch.linalg.qr(columns)[0]
    return basis


def _signs(key: int, rows: int, width: int) -> torch.Tensor:
    """Return a matrix of ±1, each with probability a half: as good a sketch as a normal one."""
    drawn = draws(key, 0, rows * width).lt_(LEVELS // 2)
    return drawn.mul_(2).sub_(1).view(rows, width)


def _squared_norm(blocks: Blocks) -> float:
    return math.fsum(float(block.square().sum(dtype=torch.float64)) for block in blocks())


def _error(blocks: Blocks, factors: Factors) -> float:
    """Return ‖ΔW - factors‖ / ‖ΔW‖."""
    start, lost = 0, 0.0
    for block in blocks():
        rest = block - factors.up[start : start + len(block)] @ factors.down
        lost += float(rest.square().sum(dtype=torch.float64))
        start += len(block)
    total = _squared_norm(blocks)
    return math.sqrt(lost / total) if total else 0.0
