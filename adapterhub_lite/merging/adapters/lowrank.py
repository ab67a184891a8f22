"""Sums of low-rank changes, and the best approximation of lower rank, without a dense matrix.

ΔW = Σ wᵢsᵢBᵢAᵢ is [w₁s₁B₁ … wₙsₙBₙ] · [A₁; …; Aₙ], of rank Σrᵢ at most. With the QR
decompositions of the stacked factors its SVD is that of a core of Σrᵢ by Σrᵢ: exact, and by the
theorem of Eckart and Young (1936) its first terms are the best approximation of their rank.
"""

import math
from collections.abc import Sequence

import torch

from adapterhub_lite.errors import MergeError
from adapterhub_lite.streaming.factors import Compressed, Factors, RankChoice


def concatenate(
    factors: Sequence[Factors], weights: Sequence[float], dtype: torch.dtype = torch.float32
) -> Factors:
    """Return Σ wᵢΔWᵢ exactly, of rank Σrᵢ, by stacking; weights and scalings go into ``up``.

    Raises MergeError for changes of different shapes.
    """
    require_same_shape(factors)
    weighted = [
        part.up.double() * (weight * part.scaling)
        for part, weight in zip(factors, weights, strict=True)
    ]
    down = torch.cat([part.down.to(dtype) for part in factors])
    return Factors(down, torch.cat(weighted, dim=1).to(dtype))


def recompress(
    factors: Sequence[Factors], weights: Sequence[float], choice: RankChoice
) -> Compressed:
    """Return the best approximation of Σ wᵢΔWᵢ of the rank that is chosen, in 32 bits.

    It is computed in 64 bits; the result's scaling is 1, and each factor takes the square roots of
    the singular values. Raises MergeError for changes of different shapes.
    """
    whole = concatenate(factors, weights, torch.float64)
    outer, inner = Basis(whole.up), Basis(whole.down.T)
    left, values, right = torch.linalg.svd(outer.core @ inner.core.T)
    squares = values.square()
    total = float(squares.sum())
    exact = exact_rank(values, whole.shape)
    rank = choice.of(squares, total, exact)
    kept = exact if rank is None else rank
    roots = values[:kept].sqrt()
    down = inner.times(right[:kept].T * roots).T
    up = outer.times(left[:, :kept] * roots)
    lost = float(squares[kept:].sum())
    error = math.sqrt(lost / total) if total else 0.0
    return Compressed(Factors(down.float(), up.float()), error)


class Basis:
    """The QR decomposition of columns, whose Q is applied, and never formed.

    ``core`` is R, upper triangular, of min(rows, columns) rows.
    """

    def __init__(self, columns: torch.Tensor) -> None:
        self._reflections, self._scales = torch.geqrf(columns)
        self.core = self._reflections[: len(self._scales)].triu()

    def times(self, small: torch.Tensor) -> torch.Tensor:
        """Return Q · small, for a matrix with as many rows as ``core``."""
        padded = small.new_zeros(len(self._reflections), small.shape[1])
        padded[: len(small)] = small
        return torch.ormqr(self._reflections, self._scales, padded)


def exact_rank(values: torch.Tensor, shape: tuple[int, int]) -> int:
    """Return how many singular values, in 64 bits, are more than the rounding of the largest."""
    if not len(values):
        return 0
    tolerance = float(values[0]) * max(shape) * torch.finfo(torch.float64).eps
    return int((values > tolerance).sum())


def require_same_shape(factors: Sequence[Factors]) -> None:
    """Refuse changes of different shapes; raises MergeError."""
    shapes = {part.shape for part in factors}
    if len(shapes) > 1:
        first, second = sorted(shapes)[:2]
        raise MergeError(
            f"an adapter changes a weight of {first}, and another one of {second}",
            hint="they were trained on different bases",
        )
