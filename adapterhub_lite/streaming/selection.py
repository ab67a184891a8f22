"""The k largest magnitudes of a tensor that is never in memory whole: exact, without sorting.

Magnitudes of floats are ordered as their bits are, read as whole numbers. So the k-th largest is
found by counting: first the upper halves of all words, then the lower halves of those that share
the threshold's upper half. Among equals the lowest index is kept.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

RESIDENT = 4 * 2**20
"""Up to so many numbers are held at once and partitioned, which is faster than counting twice."""

Chunks = Callable[[], Iterable[torch.Tensor]]
Words = NDArray[np.uint32]


@dataclass(slots=True)
class Selector:
    """Keeps the largest magnitudes of chunks that come in their order.

    ``threshold`` is the smallest magnitude kept; of those equal to it the first ``equal`` are.
    """

    threshold: float
    equal: int
    all_equal: bool

    def mask(self, values: torch.Tensor) -> torch.Tensor:
        """Return 1.0 where a number is kept and 0.0 elsewhere."""
        magnitudes = values.abs()
        kept = torch.ge(magnitudes, self.threshold, out=torch.empty_like(magnitudes))
        if not self.all_equal:
            self._drop_later_equals(magnitudes, kept)
        return kept

    def _drop_later_equals(self, magnitudes: torch.Tensor, kept: torch.Tensor) -> None:
        places = (magnitudes == self.threshold).view(-1).nonzero().view(-1)
        kept.view(-1)[places[self.equal :]] = 0.0
        self.equal = max(0, self.equal - len(places))


def top_magnitudes(chunks: Chunks, size: int, count: int) -> Selector:
    """Return what keeps the ``count`` largest magnitudes of ``size`` numbers.

    ``chunks`` gives them in order, and may be called twice. All is exact: exactly ``count`` are
    kept, whatever the ties.
    """
    if count >= size:
        return Selector(0.0, size, all_equal=True)
    if count <= 0:
        return Selector(float("inf"), 0, all_equal=True)
    if size <= RESIDENT:
        return _by_partition(chunks, size, count)
    return _by_counting(chunks, size, count)


def magnitude_words(values: torch.Tensor) -> Words:
    """Return the bits of the magnitudes of float32 numbers, which are ordered as they are."""
    words: Words = values.abs().view(-1).cpu().numpy().view(np.uint32)
    return words


def _by_partition(chunks: Chunks, size: int, count: int) -> Selector:
    words = np.empty(size, np.uint32)
    end = 0
    for chunk in chunks():
        words[end : end + chunk.numel()] = magnitude_words(chunk)
        end += chunk.numel()
    words.partition(size - count)
    threshold = words[size - count]
    upper = words[size - count :]
    equal = int(np.count_nonzero(upper == threshold))
    below = np.count_nonzero(words[: size - count] == threshold)
    return Selector(_as_float(threshold), equal, all_equal=not below)


def _by_counting(chunks: Chunks, size: int, count: int) -> Selector:
    high = np.zeros(2**16, np.int64)
    for chunk in chunks():
        high += _counts(magnitude_words(chunk) >> np.uint32(16))
    upper, above = _digit(high, count)
    low = np.zeros(2**16, np.int64)
    for words in _sharing(chunks, upper):
        low += _counts(words & np.uint32(0xFFFF))
    lower, above_too = _digit(low, count - above)
    equal = count - above - above_too
    threshold = np.uint32((upper << 16) | lower)
    return Selector(_as_float(threshold), equal, all_equal=equal == low[lower])


def _sharing(chunks: Chunks, upper: int) -> Iterator[Words]:
    for chunk in chunks():
        words = magnitude_words(chunk)
        yield words[(words >> np.uint32(16)) == upper]


def _counts(digits: Words) -> NDArray[np.int64]:
    return np.bincount(digits.astype(np.int64), minlength=2**16)


def _digit(counts: NDArray[np.int64], wanted: int) -> tuple[int, int]:
    """Return the digit at which ``wanted`` is reached from above, and how many are above it."""
    from_above = np.cumsum(counts[::-1])
    place = int(np.searchsorted(from_above, wanted))
    above = int(from_above[place - 1]) if place else 0
    return len(counts) - 1 - place, above


def _as_float(word: np.uint32) -> float:
    return float(np.array([word], np.uint32).view(np.float32)[0])
