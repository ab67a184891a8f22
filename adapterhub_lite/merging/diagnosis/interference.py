"""How the task vectors of one tensor meet: sums over its entries, a chunk at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import combinations
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from adapterhub_lite.streaming.selection import Selector, top_magnitudes
from adapterhub_lite.streaming.tensors import Chunk, MergeTensor

TOP: Final = 0.2
"""The share of a tensor's entries that count as its largest changes."""

Sums = NDArray[np.float64]


@dataclass(slots=True)
class Tally:
    """Sums over entries; a vector has a place a model, a matrix one a pair, on both sides.

    ``products`` are of the task vectors, ``base`` is the base's sum of squares. ``changed`` counts
    entries that are not the base's, ``both`` those that two models changed, ``opposed`` those that
    they changed in opposite directions. ``top`` counts a model's largest changes, ``top_both``
    those of two models at the same place, ``top_opposed`` the opposed among those of either.
    """

    size: float
    base: float
    products: Sums
    changed: Sums
    both: Sums
    opposed: Sums
    top: Sums
    top_both: Sums
    top_opposed: Sums

    @classmethod
    def empty(cls, models: int) -> "Tally":
        """Return the tally of nothing."""
        square, line = (models, models), (models,)
        return cls(
            size=0.0,
            base=0.0,
            products=np.zeros(square),
            changed=np.zeros(line),
            both=np.zeros(square),
            opposed=np.zeros(square),
            top=np.zeros(line),
            top_both=np.zeros(square),
            top_opposed=np.zeros(square),
        )

    def add(self, other: "Tally") -> None:
        """Add another tensor's, or chunk's, sums."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


def tally_tensor(tensor: MergeTensor) -> Tally:
    """Count one tensor: its thresholds in a first pass over the chunks, the rest in a second.

    Raises MergeError for a number that is not finite.
    """
    models = range(len(tensor.origins))
    selectors = [_largest(tensor, number) for number in models]
    total = Tally.empty(len(models))
    for chunk in tensor.chunks():
        total.add(_tally_chunk(chunk, selectors))
    return total


def _largest(tensor: MergeTensor, number: int) -> Selector:
    def deltas() -> Iterator[torch.Tensor]:
        return (chunk.delta(number) for chunk in tensor.chunks())

    return top_magnitudes(deltas, tensor.size, max(1, round(TOP * tensor.size)))


def _tally_chunk(chunk: Chunk, selectors: list[Selector]) -> Tally:
    tally = Tally.empty(len(selectors))
    tally.size = chunk.stop - chunk.start
    tally.base = _square(chunk.base)
    views = [_View(chunk.delta(number), selector) for number, selector in enumerate(selectors)]
    for number, one in enumerate(views):
        tally.products[number, number] = _square(one.exact)
        tally.changed[number] = tally.both[number, number] = one.changed.sum().item()
        tally.top[number] = tally.top_both[number, number] = one.top.sum().item()
    for (i, one), (j, other) in combinations(enumerate(views), 2):
        for name, value in _pair(one, other).items():
            sums: Sums = getattr(tally, name)
            sums[i, j] = sums[j, i] = value
    return tally


class _View:
    """What is counted of a chunk's task vector; masks are 0.0 and 1.0, which multiply fast."""

    def __init__(self, delta: torch.Tensor, selector: Selector) -> None:
        self.exact = delta.double()
        self.sign = delta.sign()
        self.changed = self.sign.abs()
        # Where fewer entries changed than would be kept, the rest of the largest are zeros.
        self.top = selector.mask(delta).mul_(self.changed)
        self.top_sign = self.top * self.sign


def _pair(one: _View, other: _View) -> dict[str, float]:
    """Count a pair. Sums of so few whole numbers are exact in float32, in any order.

    The dot product of signs is agreements minus oppositions, and that of masks is their sum.
    """
    both = _dot(one.changed, other.changed)
    top_both = _dot(one.top, other.top)
    by_first = _dot(one.top, other.changed) - _dot(one.top_sign, other.sign)
    by_second = _dot(one.changed, other.top) - _dot(one.sign, other.top_sign)
    twice = top_both - _dot(one.top_sign, other.top_sign)
    return {
        "products": _dot(one.exact, other.exact),
        "both": both,
        "opposed": (both - _dot(one.sign, other.sign)) / 2,
        "top_both": top_both,
        "top_opposed": (by_first + by_second - twice) / 2,
    }


def _square(values: torch.Tensor) -> float:
    exact = values.double()
    return _dot(exact, exact)


def _dot(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.dot(one, other))
