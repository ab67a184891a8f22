"""What an adapter can do to one tensor of its base, computed for a slice of it."""

from collections.abc import Callable
from typing import Protocol

import torch

from adapterhub_lite.streaming.factors import Factors
from adapterhub_lite.streaming.rows import by_rows, row_sizes

Under = Callable[[int, int], torch.Tensor]
"""Reads a slice of the tensor that is changed, as new float32 numbers."""
Load = Callable[[], torch.Tensor]
"""Loads one of an adapter's tensors in float32; it may not be changed."""


class Change(Protocol):
    """A change of a tensor of known shape."""

    def update(self, under: Under, start: int, stop: int) -> torch.Tensor:
        """Return what is added to ``start:stop``, as new float32 numbers."""


class LowRank:
    """ΔW = s·U·V, of which the rows are computed that a slice touches."""

    def __init__(self, shape: tuple[int, ...], up: Load, down: Load, scaling: float) -> None:
        self.shape = shape
        self._up, self._down, self._scaling = up, down, scaling

    def factors(self) -> Factors:
        """Return the factors, in the tensor's orientation."""
        return Factors(self._down(), self._up(), self._scaling)

    def rows(self, first: int, last: int) -> torch.Tensor:
        """Return rows of ΔW."""
        return (self._up()[first:last] @ self._down()).mul_(self._scaling)

    def update(self, under: Under, start: int, stop: int) -> torch.Tensor:
        """Return a slice of ΔW."""
        return by_rows(self.shape, start, stop, self.rows)


class Added:
    """A stored tensor times a number."""

    def __init__(self, values: Load, scaling: float) -> None:
        self._values, self._scaling = values, scaling

    def update(self, under: Under, start: int, stop: int) -> torch.Tensor:
        """Return a slice of it."""
        return self._values().reshape(-1)[start:stop] * self._scaling


class Scaled:
    """W·l: each row, or each column, times its own factor."""

    def __init__(self, shape: tuple[int, ...], factors: Load, *, rows: bool) -> None:
        self._shape, self._factors, self._rows = shape, factors, rows

    def update(self, under: Under, start: int, stop: int) -> torch.Tensor:
        """Return a slice of W·(l - 1)."""
        width, _ = row_sizes(self._shape)
        more = self._factors().reshape(-1) - 1

        def rows(first: int, last: int) -> torch.Tensor:
            weight = under(first * width, last * width).view(-1, width)
            return weight.mul_(more[first:last, None] if self._rows else more)

        return by_rows(self._shape, start, stop, rows)
