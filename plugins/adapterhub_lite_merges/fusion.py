"""Two models: a base, and what of the other is worth taking."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from adapterhub_lite.streaming.selection import RESIDENT, Chunks, Words, magnitude_words
from adapterhub_lite.streaming.tensors import Chunk, MergeTensor

SPREADS: Final = 1.5
"""How many interquartile ranges above the median an entry's importance has to be."""


class NearSwap:
    """θ = θ₀ + clip(t / |δ₁|, 0, 1)·δ₁: where the models are nearer than t, the other's entry."""

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Find nothing: any t will do."""
        return []

    def merge(self, tensor: MergeTensor) -> None:
        """Write each chunk of the base moved by what the difference is, up to t."""
        t = tensor.params.t
        for chunk in tensor.chunks():
            # clip(t / |δ|, 0, 1)·δ without the division, which has no value at 0.
            chunk.write(chunk.delta(0).clamp_(-t, t).add_(chunk.base))


class ArceeFusion:
    """Takes over the entries whose importance is an outlier of their tensor's (Arcee AI, 2025).

    The importance is |δ| times how far the row's softmax moved: KL(softmax θ₁ ‖ softmax θ₀), in
    float64. The quartiles are those of the whole tensor, exact for any size; of two entries that a
    quartile lies between it is the lower.
    """

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Find nothing: there are no parameters."""
        return []

    def merge(self, tensor: MergeTensor) -> None:
        """Measure the rows, find the threshold, then write what reaches it."""
        if not tensor.size:
            return
        divergences = [_divergences(chunk) for chunk in tensor.chunks(rows=True)]

        def importances() -> Iterator[torch.Tensor]:
            for chunk, moved in zip(tensor.chunks(rows=True), divergences, strict=True):
                yield chunk.delta(0).abs_().mul_(moved)

        threshold = _outlier_threshold(importances, tensor.size)
        for chunk, moved in zip(tensor.chunks(rows=True), divergences, strict=True):
            delta = chunk.delta(0)
            taken = delta.abs().mul_(moved).ge_(threshold)
            chunk.write(delta.mul_(taken).add_(chunk.base))


def _divergences(chunk: Chunk) -> torch.Tensor:
    """Return KL(softmax(θ₀ + δ) ‖ softmax θ₀) of each row, as a column.

    It is E[δ] + log E[e^-δ] under the first: a small number, which the difference of two logarithms
    of softmaxes would lose.
    """
    delta = chunk.delta(0).double()
    moved = torch.softmax(chunk.base.double().add_(delta), dim=-1)
    mean = (moved * delta).sum(dim=-1, keepdim=True)
    change = moved.mul_(delta.neg_().expm1_()).sum(dim=-1, keepdim=True)
    return change.log1p_().add_(mean).clamp_min_(0.0).float()


def _outlier_threshold(chunks: Chunks, size: int) -> float:
    """Return median + 1.5·IQR of magnitudes."""
    ranks = [quarter * (size - 1) // 4 for quarter in (1, 2, 3)]
    lower, median, upper = order_statistics(chunks, size, ranks)
    return median + SPREADS * (upper - lower)


def order_statistics(chunks: Chunks, size: int, ranks: Sequence[int]) -> list[float]:
    """Return the magnitudes that have these ranks among ``size`` numbers, from 0 for the smallest.

    ``chunks`` may be called twice. Exact, by counting bits as in
    :mod:`adapterhub_lite.streaming.selection`.
    """
    if size <= RESIDENT:
        words = np.concatenate([magnitude_words(chunk) for chunk in chunks()])
        words.partition(ranks)
        return [float(value) for value in words[list(ranks)].view(np.float32)]
    return _count_to(chunks, ranks)


def _count_to(chunks: Chunks, ranks: Sequence[int]) -> list[float]:
    high = np.zeros(2**16, np.int64)
    for chunk in chunks():
        high += _counts(magnitude_words(chunk) >> np.uint32(16))
    upper = [_digit(high, rank) for rank in ranks]
    lows = {digit: np.zeros(2**16, np.int64) for digit, _ in upper}
    for chunk in chunks():
        words = magnitude_words(chunk)
        digits = words >> np.uint32(16)
        for digit, low in lows.items():
            low += _counts(words[digits == digit] & np.uint32(0xFFFF))
    found = [(digit << 16) | _digit(lows[digit], rest)[0] for digit, rest in upper]
    return [float(value) for value in np.array(found, np.uint32).view(np.float32)]


def _counts(digits: Words) -> NDArray[np.int64]:
    return np.bincount(digits.astype(np.int64), minlength=2**16)


def _digit(counts: NDArray[np.int64], rank: int) -> tuple[int, int]:
    """Return the digit of the number of this rank, and its rank among those that have it."""
    upto = np.cumsum(counts)
    digit = int(np.searchsorted(upto, rank, side="right"))
    return digit, rank - int(upto[digit] - counts[digit])
