"""Sparsified task vectors with the norm that they had when they were whole."""

import math
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from adapterhub_lite.streaming.tensors import Chunk, MergeTensor
from adapterhub_lite_merges.sparsify import Sparsifier

Norm: TypeAlias = Literal["l1", "l2", "linf"]

BLOCK: Final = 256
"""Magnitudes that are summed in float32, counted from the tensor's beginning."""


class NormOf:
    """The norm of magnitudes that come in chunks; where the chunks end does not show."""

    def __init__(self, norm: Norm) -> None:
        self._norm = norm
        self._total = 0.0
        self._rest = torch.empty(0)

    def add(self, magnitudes: torch.Tensor) -> None:
        """Take the next ones."""
        if self._norm == "linf":
            self._total = max(self._total, float(magnitudes.max()))
        elif self._norm == "l2":
            self._total += float(magnitudes.double().square_().sum())
        else:
            self._add_blocks(magnitudes.view(-1))

    def _add_blocks(self, magnitudes: torch.Tensor) -> None:
        """Sum blocks of the tensor in float32 and those in float64: twice as fast as all in it."""
        if self._rest.numel():
            magnitudes = torch.cat([self._rest, magnitudes])
        end = magnitudes.numel() // BLOCK * BLOCK
        blocks = magnitudes[:end].view(-1, BLOCK).sum(dim=1)
        self._total += float(blocks.sum(dtype=torch.float64))
        self._rest = magnitudes[end:].clone()

    @property
    def value(self) -> float:
        """The norm of all."""
        total = self._total + float(self._rest.sum(dtype=torch.float64))
        return math.sqrt(total) if self._norm == "l2" else total


class Replay:
    """Keeps once more what was kept: a bit a number, so that nothing is drawn or ranked twice."""

    def __init__(self) -> None:
        self._bits: list[NDArray[np.uint8]] = []
        self._next = 0

    def record(self, kept: torch.Tensor) -> None:
        """Take note of a chunk."""
        self._bits.append(np.packbits(kept.cpu().numpy() != 0.0))

    def __call__(self, chunk: Chunk, delta: torch.Tensor) -> torch.Tensor:
        """Return the next chunk with what was dropped set to 0."""
        bits = np.unpackbits(self._bits[self._next], count=delta.numel())
        self._next += 1
        mask = torch.from_numpy(bits).to(delta.device, torch.float32)
        return delta.mul_(mask.view(delta.shape))


def restoring_norm(
    tensor: MergeTensor, sparsifiers: Sequence[Sparsifier], norm: Norm, *, rows: bool
) -> tuple[list[Sparsifier], list[float]]:
    """Return sparsifiers for a second pass, and by how much each of their results is to be scaled.

    The factor is ‖δ‖ / ‖δ̂‖ over the tensor, and 1 where nothing but zeros is kept.
    """
    replays = [Replay() for _ in sparsifiers]
    before, after = ([NormOf(norm) for _ in sparsifiers] for _ in range(2))
    for chunk in tensor.chunks(rows=rows):
        for number, keep in enumerate(sparsifiers):
            # What is kept depends on magnitudes and draws alone, so signs can wait for the merge.
            magnitudes = chunk.delta(number).abs_()
            before[number].add(magnitudes)
            kept = keep(chunk, magnitudes)
            after[number].add(kept)
            replays[number].record(kept)
    factors = [
        whole.value / part.value if part.value else 1.0
        for whole, part in zip(before, after, strict=True)
    ]
    return [*replays], factors
