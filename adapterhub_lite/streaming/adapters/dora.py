"""DoRA: the direction of a weight is LoRA's, and its length a parameter (Liu et al., 2024)."""

import torch

from adapterhub_lite.streaming.adapters.changes import Load, LowRank, Under
from adapterhub_lite.streaming.rows import BLOCK, by_rows, row_sizes


class Dora:
    """W' = m·(W + ΔW) / ‖W + ΔW‖, the norm being that of each output's weights.

    An output's weights are a row of a linear layer, and a column of what is stored transposed:
    GPT-2's layers, and embeddings, whose columns' norms take a pass over the whole tensor.
    """

    def __init__(self, low_rank: LowRank, magnitude: Load, *, rows: bool) -> None:
        self._low_rank, self._magnitude, self._rows = low_rank, magnitude, rows
        self._column_norms: torch.Tensor | None = None

    def update(self, under: Under, start: int, stop: int) -> torch.Tensor:
        """Return a slice of W' - W."""
        shape = self._low_rank.shape
        width, _ = row_sizes(shape)
        magnitude = self._magnitude().reshape(-1)
        norms = None if self._rows else self._norms_of_columns(under)

        def rows(first: int, last: int) -> torch.Tensor:
            weight = under(first * width, last * width).view(-1, width)
            turned = weight + self._low_rank.rows(first, last)
            if norms is None:
                lengths = torch.linalg.vector_norm(turned, dim=1)
                turned *= (magnitude[first:last] / lengths)[:, None]
            else:
                turned *= magnitude / norms
            return turned.sub_(weight)

        return by_rows(shape, start, stop, rows)

    def _norms_of_columns(self, under: Under) -> torch.Tensor:
        """Return the columns' norms; computed once, and the same in whichever thread."""
        if self._column_norms is None:
            width, height = row_sizes(self._low_rank.shape)
            squares = torch.zeros(width, dtype=torch.float64)
            step = max(1, BLOCK // width)
            for first in range(0, height, step):
                last = min(first + step, height)
                weight = under(first * width, last * width).view(-1, width)
                turned = weight.add_(self._low_rank.rows(first, last))
                squares += turned.double().square_().sum(0)
            self._column_norms = squares.sqrt_().float()
        return self._column_norms
