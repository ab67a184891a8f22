"""Numbers computed by whole rows, for slices that end anywhere."""

from collections.abc import Callable
from typing import Final

import torch

BLOCK: Final = 2**17
"""About how many numbers are computed at once."""


def by_rows(
    shape: tuple[int, ...], start: int, stop: int, compute: Callable[[int, int], torch.Tensor]
) -> torch.Tensor:
    """Return the numbers ``start:stop`` of a flattened tensor that is computed by its rows.

    ``compute`` returns rows ``first:last``, of shape (last - first, width). The rows are asked for
    on a grid that depends on the shape alone: a matrix product of other sizes may round its last
    digits otherwise, and where a slice ends is to change nothing. A vector is one row.
    """
    width, height = row_sizes(shape)
    step = max(1, BLOCK // width)
    result = torch.empty(stop - start)
    for first in range(start // width // step * step, -(-stop // width), step):
        begin = first * width
        values = compute(first, min(first + step, height)).reshape(-1)
        inside = slice(max(start - begin, 0), min(stop - begin, values.numel()))
        result[begin + inside.start - start : begin + inside.stop - start] = values[inside]
    return result


def row_sizes(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return how many numbers a row has, and how many rows there are."""
    width = shape[-1] if shape else 1
    height = 1
    for size in shape[:-1]:
        height *= size
    return max(width, 1), height
