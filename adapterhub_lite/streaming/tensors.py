"""What a merge strategy sees: one tensor of every model, a chunk at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import torch

from adapterhub_lite.streaming.randomness import draws, keep_mask, stream_key
from adapterhub_lite.streaming.sources import Source, UpdateSource, read_finite, refuse_non_finite

CHUNK: Final = 2**18
"""Numbers a chunk has: 1 MiB as float32, so that a few of them stay in a core's cache."""

Write = Callable[[int, torch.Tensor], None]


@dataclass(frozen=True, slots=True)
class Layer:
    """Which of a stack's layers a tensor belongs to: ``number`` of ``count``, from 0."""

    number: int
    count: int

    @property
    def depth(self) -> float:
        """0.0 for the first layer, 1.0 for the last."""
        return self.number / (self.count - 1) if self.count > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Origin:
    """One input of a tensor: the source and the tensor's name in it."""

    source: Source
    name: str

    def read(self, start: int, stop: int) -> torch.Tensor:
        """Return a slice as float32; raises MergeError when it is not finite."""
        return read_finite(self.source, self.name, start, stop)


@dataclass(slots=True, kw_only=True)
class MergeTensor:
    """A tensor to be merged.

    ``params`` are the strategy's for this tensor, ``model_params`` those of each model, in the
    order of the models. ``layer`` is None for what is in no layer: embeddings, final norm, head.
    ``prepared`` is what the strategy's ``prepare`` returned.
    """

    name: str
    shape: tuple[int, ...]
    params: Any
    model_params: Sequence[Any]
    base_origin: Origin | None
    origins: Sequence[Origin]
    write: Write
    layer: Layer | None = None
    seed: int = 0
    prepared: Any = None
    chunk_size: int = CHUNK
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return torch.Size(self.shape).numel()

    @property
    def width(self) -> int:
        """How many numbers a row has; a vector is one row."""
        return self.shape[-1] if self.shape else 1

    @property
    def is_matrix(self) -> bool:
        """Whether it has two dimensions or more, none of them empty."""
        return len(self.shape) > 1 and self.size > 0

    def chunks(self, *, rows: bool = False) -> Iterator["Chunk"]:
        """Yield the chunks in their order; with ``rows`` each is a matrix of whole rows.

        The result does not depend on where chunks end, or the strategy is wrong.
        """
        step = self.chunk_size
        if rows and self.size:
            step = max(1, step // self.width) * self.width
        for start in range(0, self.size, step):
            yield Chunk(self, start, min(start + step, self.size), rows)

    def whole(self) -> "Chunk":
        """Return the whole tensor as one chunk of rows (capability ``whole-tensor``)."""
        return Chunk(self, 0, self.size, rows=True)


class Chunk:
    """A slice of a tensor in every model: float32, flat or in rows; what it returns may be changed.

    Each property reads anew and keeps what it read, so a chunk is used once and let go.
    """

    def __init__(self, tensor: MergeTensor, start: int, stop: int, rows: bool) -> None:
        self._tensor = tensor
        self.start, self.stop = start, stop
        self._rows = rows

    @cached_property
    def base(self) -> torch.Tensor:
        """The base's numbers, or zeros where there is no base."""
        origin = self._tensor.base_origin
        if origin is None:
            return self._shaped(torch.zeros(self.stop - self.start))
        return self._shaped(origin.read(self.start, self.stop))

    @cached_property
    def models(self) -> list[torch.Tensor]:
        """The models' numbers."""
        return [self.model(number) for number in range(len(self._tensor.origins))]

    @cached_property
    def deltas(self) -> list[torch.Tensor]:
        """The task vectors: each model's numbers minus the base's."""
        return [self.delta(number) for number in range(len(self._tensor.origins))]

    def model(self, number: int) -> torch.Tensor:
        """Read one model's numbers."""
        return self._shaped(self._tensor.origins[number].read(self.start, self.stop))

    def delta(self, number: int) -> torch.Tensor:
        """Read one model's task vector; an adapter on the same base gives it unrounded."""
        origin = self._tensor.origins[number]
        known = self._update(origin)
        if known is not None:
            return self._shaped(known)
        return self.model(number).sub_(self.base)

    def keep_mask(self, number: int, probability: float) -> torch.Tensor:
        """Return 1.0 with that probability, else 0.0: drawn for this place of this model."""
        return self._shaped(keep_mask(self._key(number), self.start, self.stop, probability))

    def draws(self, number: int) -> torch.Tensor:
        """Return whole numbers from 0 to 65535, drawn for this place of this model."""
        return self._shaped(draws(self._key(number), self.start, self.stop))

    def write(self, values: torch.Tensor) -> None:
        """Write the result for this chunk."""
        self._tensor.write(self.start, values.reshape(-1))

    def _update(self, origin: Origin) -> torch.Tensor | None:
        base = self._tensor.base_origin
        source: Any = origin.source
        if base is None or not hasattr(source, "rests_on"):
            return None
        adapter: UpdateSource = source
        if not adapter.rests_on(origin.name, base.source, base.name):
            return None
        added = adapter.update(origin.name, self.start, self.stop)
        if added is None:
            return torch.zeros(self.stop - self.start)
        refuse_non_finite(added, origin.name, adapter.label)
        return added

    def _key(self, number: int) -> int:
        return stream_key(self._tensor.seed, number, self._tensor.name)

    def _shaped(self, values: torch.Tensor) -> torch.Tensor:
        placed = values.to(self._tensor.device)
        return placed.view(-1, self._tensor.width) if self._rows else placed
