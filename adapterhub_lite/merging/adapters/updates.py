"""Dense merges of LoRA adapters: their updates go in as they are, and come out as factors.

A strategy of the capability ``delta`` merges updates alike on any base; on one of zeros nothing is
lost to the rounding of the base's own numbers, and no base has to be read.
"""

import threading
from collections.abc import Iterator, Mapping

import torch

from adapterhub_lite.merging.adapters.randomised import approximate
from adapterhub_lite.streaming.factors import Compressed, Factors, RankChoice
from adapterhub_lite.streaming.headers import TensorShape
from adapterhub_lite.streaming.sources import Source
from adapterhub_lite.streaming.tensors import CHUNK


class ZeroSource:
    """A base of zeros."""

    label = "a base of zeros"

    def __init__(self, tensors: Mapping[str, TensorShape]) -> None:
        self.tensors = tensors

    def read(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return zeros."""
        return torch.zeros(stop - start)

    def raw(self, name: str) -> torch.Tensor:
        """Return a tensor of zeros."""
        return torch.zeros(self.tensors[name].shape)


class FactorSource:
    """An adapter on a base of zeros: its updates themselves; zeros where it has none."""

    def __init__(self, label: str, factors: Mapping[str, Factors], base: ZeroSource) -> None:
        self.label = label
        self.base = base
        self.tensors = base.tensors
        self._factors = factors

    def read(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return the numbers ``start:stop`` of a flattened update."""
        if name in self._factors:
            return self._factors[name].read(start, stop)
        return torch.zeros(stop - start)

    def raw(self, name: str) -> torch.Tensor:
        """Return a whole update."""
        shape = self.tensors[name]
        return self.read(name, 0, shape.size).view(shape.shape)

    def rests_on(self, name: str, base: Source, base_name: str) -> bool:
        """Say whether ``base`` is the zeros that this one's updates are told against."""
        return base is self.base and name == base_name

    def update(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Return what :meth:`read` does, or None where there is no update."""
        return self.read(name, start, stop) if name in self._factors else None


class UpdateWriter:
    """Takes merged matrices, and keeps of each what it adds to ``base``, as factors.

    A tensor is held whole from its first slice until it is finished. ``compressed`` has the results
    by the tensors' names. ``seed`` is that of the random sketches. Implements
    :class:`~adapterhub_lite.merging.output.Writer`.
    """

    def __init__(
        self, shapes: Mapping[str, TensorShape], base: Source, choice: RankChoice, seed: int = 0
    ) -> None:
        self.compressed: dict[str, Compressed] = {}
        self._shapes, self._base, self._choice, self._seed = shapes, base, choice, seed
        self._held: dict[str, torch.Tensor] = {}
        self._lock = threading.Lock()

    def write(self, name: str, start: int, values: torch.Tensor) -> None:
        """Take a flat slice of a merged matrix."""
        with self._lock:
            if name not in self._held:
                self._held[name] = torch.empty(self._shapes[name].size)
        stop = start + values.numel()
        added = values.to(device="cpu", dtype=torch.float32) - self._base.read(name, start, stop)
        self._held[name][start:stop] = added

    def finish(self, name: str) -> None:
        """Take note that a matrix is complete, and compress it."""
        with self._lock:
            held = self._held.pop(name)
        update = held.view(self._shapes[name].shape)
        self.compressed[name] = compress(update, self._choice, f"{self._seed}/{name}")


def compress(update: torch.Tensor, choice: RankChoice, key: str) -> Compressed:
    """Return factors for a dense update; ``key`` seeds the sketch."""
    height, width = update.shape
    step = max(1, CHUNK // width)

    def blocks() -> Iterator[torch.Tensor]:
        return (update[start : start + step] for start in range(0, height, step))

    return approximate(blocks, (height, width), choice, key)
