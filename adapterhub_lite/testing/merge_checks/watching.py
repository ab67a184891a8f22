"""A source and a writer that note what a strategy does with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from adapterhub_lite.merging.output import MemoryWriter
from adapterhub_lite.streaming.headers import TensorShape
from adapterhub_lite.streaming.sources import StateSource


@dataclass(slots=True)
class Watch:
    """What a merge was seen to do.

    ``reads`` has the most numbers that were read at once of each tensor, ``written`` how often each
    number was written, ``dtypes`` in which types.
    """

    reads: dict[str, int] = field(default_factory=dict)
    written: dict[str, torch.Tensor] = field(default_factory=dict)
    dtypes: set[torch.dtype] = field(default_factory=set)


class WatchedSource(StateSource):
    """A model in memory that tells how much of it is read at once."""

    def __init__(self, state: Mapping[str, torch.Tensor], label: str, watch: Watch) -> None:
        super().__init__(state, label)
        self._watch = watch

    def read(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return numbers, and note how many."""
        self._watch.reads[name] = max(self._watch.reads.get(name, 0), stop - start)
        return super().read(name, start, stop)


class WatchedWriter(MemoryWriter):
    """Keeps results, and counts how often each number is written; NaN is taken as it is."""

    def __init__(self, shapes: Mapping[str, TensorShape], watch: Watch) -> None:
        super().__init__(shapes)
        self._watch = watch
        for name, value in self.state.items():
            watch.written[name] = torch.zeros(value.numel(), dtype=torch.int32)

    def write(self, name: str, start: int, values: torch.Tensor) -> None:
        """Take a slice, and count."""
        self._watch.dtypes.add(values.dtype)
        self._watch.written[name][start : start + values.numel()] += 1
        self.state[name].view(-1)[start : start + values.numel()] = values
