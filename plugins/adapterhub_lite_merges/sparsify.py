"""Which numbers of a task vector are kept: the largest, a band of magnitudes, or a draw."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn.functional import hardshrink

from adapterhub_lite.streaming.randomness import LEVELS, resolved
from adapterhub_lite.streaming.selection import Selector, top_magnitudes
from adapterhub_lite.streaming.tensors import Chunk, MergeTensor

Sparsifier = Callable[[Chunk, torch.Tensor], torch.Tensor]
"""Returns a chunk's task vector with what is dropped set to 0, and may overwrite the one it got.

It is called once for each chunk of a tensor, in their order. Magnitudes and draws decide what is
kept, never a sign.
"""


class Sparsification(Protocol):
    """A rule of what is kept. ``rows``: it looks at whole rows, so chunks have to be such."""

    rows: bool

    def reasons(self, model: Any) -> list[str]:
        """Return what speaks against a model's parameters."""

    def sparsifier(self, tensor: MergeTensor, number: int) -> Sparsifier:
        """Return what sparsifies one model's task vector, read once more if need be."""


class Largest:
    """Keeps the largest magnitudes, of equals the first, as a selector of the tensor says.

    It does what :meth:`Selector.mask` and a product do, in one pass over the numbers.
    """

    def __init__(self, selector: Selector) -> None:
        self._threshold = selector.threshold
        below = np.nextafter(np.float32(selector.threshold), np.float32(-np.inf))
        self._below = max(0.0, float(below))
        self._left = -1 if selector.all_equal else selector.equal

    def __call__(self, delta: torch.Tensor) -> torch.Tensor:
        """Return the next numbers of the tensor with what is dropped set to 0."""
        if self._left > 0:
            return self._first_equals(delta)
        return hardshrink(delta, self._threshold if self._left == 0 else self._below)

    def _first_equals(self, delta: torch.Tensor) -> torch.Tensor:
        magnitudes = delta.abs()
        equal = torch.eq(magnitudes, self._threshold, out=magnitudes)
        here = int(equal.sum(dtype=torch.float64))
        kept = hardshrink(delta, self._below)
        if here > self._left:
            kept.view(-1)[equal.view(-1).nonzero().view(-1)[self._left :]] = 0.0
        self._left = max(0, self._left - here)
        return kept


class LargestMagnitudes:
    """The largest ``density`` of each tensor, or of the whole model by what ``prepare`` found."""

    rows = False

    def reasons(self, model: Any) -> list[str]:
        """Find nothing: any density will do."""
        return []

    def sparsifier(self, tensor: MergeTensor, number: int) -> Sparsifier:
        """Return what keeps the largest; the threshold takes a pass of its own."""
        if tensor.params.scope == "model":
            selector = tensor.prepared[tensor.name][number]
        else:
            count = kept_count(tensor.model_params[number].density, tensor.size)
            selector = top_magnitudes(lambda: deltas(tensor, number), tensor.size, count)
        keep = Largest(selector)
        return lambda chunk, delta: keep(delta)


class MagnitudeBand:
    """Without the largest ``gamma`` the next ``density`` of each tensor; the density comes first.

    With both at 0.6, the upper 0.4 is dropped and not 0.6. Davari and Belilovsky, 2023.
    """

    rows = False

    def reasons(self, model: Any) -> list[str]:
        """Find nothing: where the two do not fit, gamma gives way."""
        return []

    def sparsifier(self, tensor: MergeTensor, number: int) -> Sparsifier:
        """Return what keeps the band; each of its ends takes a pass of its own."""
        model = tensor.model_params[number]
        count = kept_count(model.density, tensor.size)
        outliers = min(int(model.gamma * tensor.size), tensor.size - count)
        upper, both = (
            Largest(top_magnitudes(lambda: deltas(tensor, number), tensor.size, wanted))
            for wanted in (outliers, outliers + count)
        )
        return lambda chunk, delta: both(delta).sub_(upper(delta))


class UniformDraw:
    """Each number with the probability ``density``: DARE (Yu et al., 2024)."""

    rows = False

    def reasons(self, model: Any) -> list[str]:
        """Refuse a density that rounds to none."""
        return probability_reasons(model.density, f"a density of {model.density:g}")

    def sparsifier(self, tensor: MergeTensor, number: int) -> Sparsifier:
        """Return what draws."""
        density = tensor.model_params[number].density
        factor = 1.0 / resolved(density) if divides_by_probability(tensor.params) else 1.0

        def keep(chunk: Chunk, delta: torch.Tensor) -> torch.Tensor:
            kept = delta.mul_(chunk.keep_mask(number, density))
            return kept.mul_(factor) if factor != 1.0 else kept

        return keep


class RankedDraw:
    """With a probability that rises with the rank in the row: DELLA's MagPrune (Deep et al., 2024).

    From ``density - epsilon`` for the smallest of a row to ``density + epsilon`` for the largest,
    in equal steps. Density 1 drops nothing, whatever epsilon is.
    """

    rows = True

    def reasons(self, model: Any) -> list[str]:
        """Refuse what leads out of (0, 1)."""
        low, high = model.density - model.epsilon, model.density + model.epsilon
        if model.density < 1.0 and not 0.0 < low <= high < 1.0:
            return [
                f"density {model.density:g} ± epsilon {model.epsilon:g} must lie between 0 and 1"
            ]
        return probability_reasons(low, f"density - epsilon = {low:g}")

    def sparsifier(self, tensor: MergeTensor, number: int) -> Sparsifier:
        """Return what ranks and draws."""
        model = tensor.model_params[number]
        epsilon = model.epsilon if model.density < 1.0 else 0.0
        table = keep_levels(model.density, epsilon, tensor.width)
        rescaled = divides_by_probability(tensor.params)

        def keep(chunk: Chunk, delta: torch.Tensor) -> torch.Tensor:
            levels = by_rank(delta, table)
            kept = delta.mul_(chunk.draws(number).lt_(levels))
            return kept.div_(levels.div_(LEVELS)) if rescaled else kept

        return keep


def deltas(tensor: MergeTensor, number: int) -> Iterator[torch.Tensor]:
    """Yield one model's task vector, a chunk at a time."""
    return (chunk.delta(number) for chunk in tensor.chunks())


def kept_count(density: float, size: int) -> int:
    """Return how many of ``size`` numbers are kept: rounded down as mergekit does, at least one."""
    return min(size, max(1, int(density * size)))


def probability_reasons(probability: float, what: str) -> list[str]:
    """Say that a probability is lost in the rounding to the resolution of draws."""
    if resolved(probability) > 0.0:
        return []
    return [f"{what} keeps nothing: draws resolve 1/{LEVELS}"]


def divides_by_probability(params: Any) -> bool:
    """Say whether what is kept is divided by the probability of being so."""
    return bool(params.rescale and params.rescale_norm == "probability")


def keep_levels(density: float, epsilon: float, width: int) -> torch.Tensor:
    """Return for each rank of a row, from the smallest, below which draw it is kept: [width]."""
    places = np.arange(width) / (width - 1) if width > 1 else np.full(width, 0.5)
    probabilities = density - epsilon + 2.0 * epsilon * places
    return torch.from_numpy(np.rint(probabilities * LEVELS).astype(np.float32))


def by_rank(values: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return ``table[rank]`` of each number, by its magnitude's rank in its row: [rows, width].

    Ranks are exact. Of equals the lower index has the higher rank, as it is kept first elsewhere.
    """
    # Magnitude above, place below in one 64-bit word: sorting plain words beats any argsort.
    words = values.abs().cpu().numpy().view(np.uint32).astype(np.uint64)
    words <<= np.uint64(32)
    words |= np.arange(values.shape[1] - 1, -1, -1, dtype=np.uint64)
    words.sort(axis=1)
    words &= np.uint64(0xFFFFFFFF)
    places = torch.from_numpy(np.subtract(values.shape[1] - 1, words.view(np.int64)))
    result = torch.empty(values.shape).scatter_(1, places, table.expand(values.shape))
    return result.to(values.device)
