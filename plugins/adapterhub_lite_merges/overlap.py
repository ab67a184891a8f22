"""Task vectors by what they have in common and what is one model's alone."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import hardshrink

from adapterhub_lite.streaming.tensors import Chunk, MergeTensor


class Ram:
    """Averages what several models changed, keeps what one alone did (Yuan et al., 2026)."""

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Find nothing: any models can be merged so."""
        return []

    def merge(self, tensor: MergeTensor) -> None:
        """Write each chunk's mean over the models that changed an entry."""
        _write_overlap(tensor, [1.0] * len(tensor.origins))


class LocalRamPlus(Ram):
    """RAM that strengthens unique entries by 1 + r·min(ρ, α), with the ρ of each tensor."""

    def merge(self, tensor: MergeTensor) -> None:
        """Count the tensor's overlaps, then write."""
        _write_overlap(tensor, _factors(tensor, _overlaps([tensor])))


class RamPlus(Ram):
    """RAM that strengthens unique entries by 1 + r·min(ρ, α), with the ρ of the whole model."""

    def prepare(self, tensors: Sequence[MergeTensor]) -> list[float]:
        """Return each model's ρ."""
        return _overlaps(tensors)

    def merge(self, tensor: MergeTensor) -> None:
        """Write by what was counted."""
        _write_overlap(tensor, _factors(tensor, tensor.prepared))


def _write_overlap(tensor: MergeTensor, factors: Sequence[float]) -> None:
    """Write the mean over the models that changed an entry, times a factor where it is one."""
    for chunk in tensor.chunks():
        result = torch.zeros_like(chunk.base)
        count, extra = torch.zeros_like(result), torch.zeros_like(result)
        for changed, mask, factor in zip(*_changes(chunk, tensor), factors, strict=True):
            result.add_(changed)
            count.add_(mask)
            extra.add_(changed, alpha=factor - 1.0)
        unique = torch.eq(count, 1.0, out=torch.empty_like(count))
        result.div_(count.clamp_min_(1.0)).addcmul_(extra, unique)
        chunk.write(result.add_(chunk.base))


def _changes(chunk: Chunk, tensor: MergeTensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the task vectors without what is too small, and 1.0 where something is left."""
    changes = [hardshrink(delta, tensor.params.epsilon) for delta in chunk.deltas]
    return changes, [torch.ne(change, 0.0, out=torch.empty_like(change)) for change in changes]


def _overlaps(tensors: Sequence[MergeTensor]) -> list[float]:
    """Return each model's ρ: the entries that others changed too, by those that it alone did."""
    models = len(tensors[0].origins)
    unique, shared = [0.0] * models, [0.0] * models
    for tensor in tensors:
        for chunk in tensor.chunks():
            _, masks = _changes(chunk, tensor)
            count = torch.zeros_like(masks[0])
            for mask in masks:
                count.add_(mask)
            alone = count.eq_(1.0)
            for number, mask in enumerate(masks):
                changed = mask.sum(dtype=torch.float64).item()
                own = mask.mul_(alone).sum(dtype=torch.float64).item()
                unique[number] += own
                shared[number] += changed - own
    # A model that changed nothing alone has nothing to strengthen: any ρ will do.
    return [both / own if own else 0.0 for both, own in zip(shared, unique, strict=True)]


def _factors(tensor: MergeTensor, overlaps: Sequence[float]) -> list[float]:
    params = tensor.params
    return [1.0 + params.r * min(overlap, params.alpha) for overlap in overlaps]
