"""Where results go: a writer takes slices of tensors, in any order, from several threads."""

from collections.abc import Mapping
from typing import Protocol

import torch

from adapterhub_lite.errors import MergeError
from adapterhub_lite.streaming.headers import TensorShape
from adapterhub_lite.streaming.sources import TORCH_TYPES


class Writer(Protocol):
    """Takes the numbers of tensors that it knows the shapes of."""

    def write(self, name: str, start: int, values: torch.Tensor) -> None:
        """Take a flat slice; float32 is rounded once, to the tensor's dtype."""

    def finish(self, name: str) -> None:
        """Take note that a tensor is complete."""


class MemoryWriter:
    """Keeps the results in memory, as ``state``."""

    def __init__(self, shapes: Mapping[str, TensorShape]) -> None:
        self.state = {
            name: torch.empty(shape.shape, dtype=TORCH_TYPES[shape.dtype])
            for name, shape in shapes.items()
        }

    def write(self, name: str, start: int, values: torch.Tensor) -> None:
        """Take a flat slice; float32 is rounded once, to the tensor's dtype."""
        target = self.state[name].view(-1)
        target[start : start + values.numel()] = rounded(values, target.dtype, name)

    def finish(self, name: str) -> None:
        """Do nothing: everything is there."""


def rounded(values: torch.Tensor, dtype: torch.dtype, name: str) -> torch.Tensor:
    """Round once to the output's dtype; raises MergeError when a result is not finite in it."""
    result = values.to(device="cpu", dtype=dtype)
    if dtype.is_floating_point and not bool(torch.isfinite(result.sum(dtype=torch.float32))):
        if bool(result.isfinite().all()):
            return result
        raise MergeError(
            f"the merged {name!r} has a number that {str(dtype).removeprefix('torch.')} cannot hold"
            " or that is not finite",
            tensor=name,
            hint="write in float32, or check the weights: do they sum to zero?",
        )
    return result
