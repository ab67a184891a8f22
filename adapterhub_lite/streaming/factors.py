"""A change of a weight as a product of two thin matrices, and of which rank it is to be."""

from dataclasses import dataclass

import torch

from adapterhub_lite.errors import MergeError
from adapterhub_lite.streaming.rows import by_rows


@dataclass(frozen=True, slots=True)
class Factors:
    """ΔW = scaling · up @ down, as LoRA has it (Hu et al., 2021).

    ``down`` (rank by inputs) is LoRA's A and ``up`` (outputs by rank) its B, in 32 or 64 bits. The
    rank may be zero: no change.
    """

    down: torch.Tensor
    up: torch.Tensor
    scaling: float = 1.0

    @property
    def rank(self) -> int:
        """How many rank-one terms it has."""
        return self.down.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of ΔW: outputs by inputs."""
        return self.up.shape[0], self.down.shape[1]

    @property
    def transposed(self) -> "Factors":
        """The factors of ΔWᵀ."""
        return Factors(self.up.T, self.down.T, self.scaling)

    def dense(self) -> torch.Tensor:
        """Return ΔW."""
        return (self.up @ self.down).mul_(self.scaling)

    def read(self, start: int, stop: int) -> torch.Tensor:
        """Return the numbers ``start:stop`` of ΔW, flattened; whole rows are computed."""

        def rows(first: int, last: int) -> torch.Tensor:
            return (self.up[first:last] @ self.down).mul_(self.scaling)

        return by_rows(self.shape, start, stop, rows)


def no_change(shape: tuple[int, int]) -> Factors:
    """Return factors of rank zero, whose ΔW is zero."""
    return Factors(torch.zeros(0, shape[1]), torch.zeros(shape[0], 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class RankChoice:
    """Which rank a result is to have: at most ``rank``, or the least that keeps ``energy``.

    ``energy`` is a share, above 0 and up to 1, of the squared Frobenius norm. With neither the rank
    is exact: every singular value that is more than rounding is kept.
    """

    rank: int | None = None
    energy: float | None = None

    def __post_init__(self) -> None:
        """Raise MergeError for a rank below 1, an energy out of its range, or both."""
        if self.rank is not None and self.energy is not None:
            raise MergeError("a rank and an energy are both given", hint="give one of them")
        if self.rank is not None and self.rank < 1:
            raise MergeError(f"a rank of {self.rank} is below 1")
        if self.energy is not None and not 0 < self.energy <= 1:
            raise MergeError(f"an energy of {self.energy:g} is no share", hint="give one like 0.95")

    def of(self, squares: torch.Tensor, total: float, exact: int) -> int | None:
        """Return the rank for squared singular values in descending order.

        ``total`` is the squared norm, ``exact`` how many of the values are more than rounding.
        Returns None when the values at hand hold less energy than is asked for.
        """
        if self.rank is not None:
            return min(self.rank, exact)
        if self.energy is None or not total:
            return exact
        reached = squares.cumsum(0) >= self.energy * total
        return int(reached.int().argmax()) + 1 if bool(reached.any()) else None


@dataclass(frozen=True, slots=True)
class Compressed:
    """Factors in place of a change, and what that costs.

    ``error`` is ‖ΔW - factors‖ / ‖ΔW‖ in the Frobenius norm; ``energy`` the share that is kept of
    the squared norm.
    """

    factors: Factors
    error: float

    @property
    def energy(self) -> float:
        """The share that is kept of the squared norm: the approximation is a projection."""
        return 1.0 - self.error**2
