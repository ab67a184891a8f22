"""What geometric strategies share: inner products of tensors, and sums with coefficients.

The result of such a strategy is a sum of its inputs, with coefficients that follow from their
inner products alone. So one pass over a tensor gives the inner products, whatever is iterated is
iterated on the coefficients, and a second pass writes the sum.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from adapterhub_lite.streaming.tensors import Chunk, MergeTensor

Along = Literal["tensor", "rows", "columns"]
"""What is one vector: the whole tensor, each of its rows, or each of its columns."""
Vectors = Callable[[Chunk], Iterable[torch.Tensor]]
"""Reads a chunk of each vector, one after the other; what it gives may be changed."""
Numbers = NDArray[np.float64]

SUMMED: Final = {"rows": -1, "columns": 0}
"""Along which dimension of a chunk the products of a group's numbers are summed."""


def models_of(tensor: MergeTensor) -> Vectors:
    """Return what reads the models."""
    return lambda chunk: (chunk.model(number) for number in range(len(tensor.origins)))


def deltas_of(tensor: MergeTensor) -> Vectors:
    """Return what reads the task vectors."""
    return lambda chunk: (chunk.delta(number) for number in range(len(tensor.origins)))


def base_and_models_of(tensor: MergeTensor) -> Vectors:
    """Return what reads the base as one model more, the first."""

    def read(chunk: Chunk) -> Iterator[torch.Tensor]:
        yield chunk.base
        yield from models_of(tensor)(chunk)

    return read


def as_matrix(tensor: MergeTensor) -> MergeTensor:
    """Return the same tensor as a matrix, with a row for each index of the first dimension."""
    first = tensor.shape[0]
    return replace(tensor, shape=(first, tensor.size // first))


def inner_products(
    tensor: MergeTensor, vectors: Vectors, count: int, along: Along = "tensor"
) -> Numbers:
    """Return the Gram matrix of ``count`` vectors for each group: ``(count, count, groups)``.

    A group is the whole tensor, a row or a column. Products of two 32-bit floats are exact in
    64 bits, and are summed there: where chunks end changes the last bits of a sum of 64 bits,
    which are far below what a result of 32 bits can show.
    """
    found = np.zeros((count, count, _groups(tensor, along)))
    wide = _Wide(tensor, count)
    for chunk in tensor.chunks(rows=along != "tensor"):
        place = _place(tensor, chunk, along)
        held = wide.hold(vectors(chunk))
        for first in range(count):
            for second in range(first, count):
                sums = _products(held[first], held[second], along)
                found[first, second, place] += sums.cpu().numpy()
                found[second, first, place] = found[first, second, place]
    return found


def write_sum(
    tensor: MergeTensor,
    vectors: Vectors,
    coefficients: Numbers,
    along: Along = "tensor",
    *,
    onto_base: bool = False,
) -> None:
    """Write Σ cᵢxᵢ, or θ₀ + Σ cᵢxᵢ; the coefficients are ``(count, groups)``."""
    for chunk in tensor.chunks(rows=along != "tensor"):
        place = _place(tensor, chunk, along)
        result: torch.Tensor | None = None
        for vector, own in zip(vectors(chunk), coefficients[:, place], strict=True):
            result = _add(result, vector, own, along)
        if result is not None:
            chunk.write(result.add_(chunk.base) if onto_base else result)


def cosines(products: Numbers) -> Numbers:
    """Return the cosines of the angles between vectors; zeros have none, and count as at 90°."""
    norms = norms_of(products)
    scale = norms[:, None] * norms[None]
    found = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
    return np.clip(found, -1.0, 1.0)


def norms_of(products: Numbers) -> Numbers:
    """Return the norms of the vectors, ``(count, groups)``."""
    norms: Numbers = np.sqrt(np.einsum("iig->ig", products))
    return norms


def mean_coefficients(count: int, scale: float = 1.0) -> Numbers:
    """Return the coefficients of a plain mean, times ``scale``."""
    return np.full((count, 1), scale / count)


class _Wide:
    """Holds a chunk of each vector in 64 bits; one buffer for all chunks of a tensor."""

    def __init__(self, tensor: MergeTensor, count: int) -> None:
        size = min(tensor.size, max(tensor.chunk_size, tensor.width))
        self._buffer = torch.empty(count, size, dtype=torch.float64, device=tensor.device)

    def hold(self, vectors: Iterable[torch.Tensor]) -> Sequence[torch.Tensor]:
        """Copy the vectors into the buffer, and return them there."""
        return [
            self._buffer[number, : vector.numel()].view(vector.shape).copy_(vector)
            for number, vector in enumerate(vectors)
        ]


def _products(first: torch.Tensor, second: torch.Tensor, along: Along) -> torch.Tensor:
    if along == "tensor":
        return torch.dot(first, second)
    sums: torch.Tensor = torch.linalg.vecdot(first, second, dim=SUMMED[along])
    return sums


def _groups(tensor: MergeTensor, along: Along) -> int:
    if along == "tensor":
        return 1
    return tensor.width if along == "columns" else tensor.size // max(tensor.width, 1)


def _place(tensor: MergeTensor, chunk: Chunk, along: Along) -> slice:
    """Return which of the groups a chunk has numbers of."""
    if along != "rows":
        return slice(None)
    return slice(chunk.start // tensor.width, chunk.stop // tensor.width)


def _add(
    result: torch.Tensor | None, vector: torch.Tensor, coefficients: Numbers, along: Along
) -> torch.Tensor:
    if along == "tensor":
        factor = float(coefficients[0])
        return vector.mul_(factor) if result is None else result.add_(vector, alpha=factor)
    factors = torch.from_numpy(coefficients).to(vector)
    factors = factors[:, None] if along == "rows" else factors
    return vector.mul_(factors) if result is None else result.addcmul_(vector, factors)
