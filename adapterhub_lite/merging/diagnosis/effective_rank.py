"""The effective rank of task vectors: along how many directions a matrix was changed.

exp(H(p)), p the singular values over their sum (Roy & Vetterli, 2007, "The effective rank"): 1
when one direction has everything, the full rank when all have the same.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import torch

from adapterhub_lite.streaming.tensors import Chunk, MergeTensor

SIDE: Final = 1024
"""A matrix whose smaller side is longer is judged by so many of its rows, evenly spaced."""
BUDGET: Final = 4e11
"""Multiplications and additions that ranks may cost in all: some ten seconds of one core."""
MAX_HELD: Final = 2**24
"""Numbers of a matrix that are held at once, at most."""


@dataclass(frozen=True, slots=True)
class EffectiveRank:
    """The effective rank of a matrix, and as a share of the largest it could have."""

    value: float
    share: float


def sampled_matrices(shapes: Mapping[str, tuple[int, ...]], models: int) -> frozenset[str]:
    """Return which matrices are judged: all that the budget allows, drawn by a hash of the name."""
    chosen: set[str] = set()
    left = BUDGET
    for name in sorted(shapes, key=_draw):
        rows, width = _judged(shapes[name])
        cost = models * _cost(rows, width)
        if _held(rows, width) <= MAX_HELD and (cost <= left or not chosen):
            chosen.add(name)
            left -= cost
    return frozenset(chosen)


def is_matrix(shape: tuple[int, ...]) -> bool:
    """Say whether a tensor has a rank to speak of: rows and columns, two of each at least."""
    return len(shape) > 1 and min(_sides(shape)) > 1


def effective_ranks(tensor: MergeTensor) -> list[EffectiveRank | None]:
    """Return each model's; None where it changed nothing. Further dimensions count as columns."""
    return [_effective_rank(_gram(tensor, number)) for number in range(len(tensor.origins))]


def _draw(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=8).digest()


def _sides(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[0], math.prod(shape[1:])


def _judged(shape: tuple[int, ...]) -> tuple[int, int]:
    rows, width = _sides(shape)
    return (rows if min(rows, width) <= SIDE else SIDE), width


def _cost(rows: int, width: int) -> float:
    """The Gram matrix of the smaller side, and its eigenvalues."""
    return 2.0 * rows * width * min(rows, width) + 10.0 * min(rows, width) ** 3


def _held(rows: int, width: int) -> int:
    return rows * width if rows < width else width * width


def _gram(tensor: MergeTensor, number: int) -> torch.Tensor:
    """Return the smaller Gram matrix; float64, since a root of it follows."""
    rows, width = _judged(tensor.shape)
    blocks = _blocks(tensor, number)
    if width <= rows:
        gram = torch.zeros(width, width, dtype=torch.float64)
        for block in blocks:
            gram += block.T @ block
        return gram
    matrix = torch.cat(list(blocks))
    return matrix @ matrix.T


def _blocks(tensor: MergeTensor, number: int) -> Iterator[torch.Tensor]:
    """Yield a task vector's rows, in float64: a few at a time, or the sampled ones."""
    rows, width = _sides(tensor.shape)
    judged, _ = _judged(tensor.shape)
    step = max(1, tensor.chunk_size // width) if judged == rows else 1
    firsts = range(0, rows, step) if judged == rows else (rows * k // judged for k in range(judged))
    for first in firsts:
        chunk = Chunk(tensor, first * width, min(first + step, rows) * width, rows=False)
        yield chunk.delta(number).view(-1, width).double()


def _effective_rank(gram: torch.Tensor) -> EffectiveRank | None:
    squares = torch.linalg.eigvalsh(gram)
    largest = float(squares[-1])
    if largest <= 0.0:
        return None
    # Below this it is rounding; its roots would add up to something.
    squares[squares < largest * len(gram) * torch.finfo(gram.dtype).eps] = 0.0
    shares = squares.sqrt_()
    shares /= shares.sum()
    value = math.exp(float(torch.special.entr(shares).sum()))
    return EffectiveRank(value, value / len(gram))
