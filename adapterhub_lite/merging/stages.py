"""A merge as the input of another: computed when it is read, and never written."""

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch

from adapterhub_lite.merging.engine import Settings, TensorJob, prepare_strategies, run_job
from adapterhub_lite.merging.output import MemoryWriter
from adapterhub_lite.streaming.headers import FLOATS, TensorShape


class MergedSource:
    """Gives the tensors of a stage, in float32: an intermediate result is not rounded.

    The tensor that was read last is kept, one for each thread, so that reading it by chunks
    merges it once.
    """

    def __init__(self, jobs: Sequence[TensorJob], settings: Settings, label: str) -> None:
        self.label = label
        self._jobs = {job.name: job for job in jobs}
        self._settings = settings
        self.tensors: Mapping[str, TensorShape] = {job.name: _unrounded(job.output) for job in jobs}
        self._lock = threading.Lock()
        self._last = threading.local()

    def read(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return the numbers ``start:stop`` of a flattened tensor, as a new float32 tensor."""
        return self.raw(name).view(-1)[start:stop].to(torch.float32, copy=True)

    def raw(self, name: str) -> torch.Tensor:
        """Return a whole merged tensor, in its shape; it may not be changed."""
        if getattr(self._last, "name", None) != name:
            self._last.value = self._merge(name)
            self._last.name = name
        value: torch.Tensor = self._last.value
        return value

    def _merge(self, name: str) -> torch.Tensor:
        writer = MemoryWriter({name: self.tensors[name]})
        with self._lock:
            prepared = self._prepared
        run_job(self._jobs[name], writer, self._settings, prepared)
        return writer.state[name]

    @cached_property
    def _prepared(self) -> Mapping[int, Any]:
        return prepare_strategies(list(self._jobs.values()), self._settings)


def _unrounded(shape: TensorShape) -> TensorShape:
    return TensorShape("F32", shape.shape) if shape.dtype in FLOATS else shape
