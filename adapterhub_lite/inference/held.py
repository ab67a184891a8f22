"""Weights of a base that several models in one process hold once."""

from collections.abc import Iterable
from typing import TYPE_CHECKING
from weakref import ref

if TYPE_CHECKING:
    import torch
    from torch import nn


class Held:
    """A base's weights, as the first model that was loaded has them.

    A model whose weights are the same to the bit takes these for its own. Heads, which are drawn
    anew, stay apart, and so does what a method wrote into. Quantised weights are more than their
    numbers, and stay apart as well.
    """

    def __init__(self) -> None:
        self._first: dict[tuple[str, torch.dtype], nn.Parameter] = {}
        self._watched: list[tuple[str, ref[nn.Parameter], int]] = []

    def watch(self, model: "nn.Module") -> None:
        """Take note of a freshly loaded base, which may still be written into."""
        # The bare transformer calls its weights otherwise than one with a head does.
        prefix = f"{getattr(model, 'base_model_prefix', '')}."
        self._watched += [
            (name.removeprefix(prefix), ref(value), _version(value))
            for name, value in model.named_parameters()
            if value.is_floating_point()
        ]

    def settle(self) -> None:
        """Share the weights of the bases that were watched: nobody writes into them any more."""
        import torch

        for name, reference, version in self._watched:
            value = reference()
            if value is None or _version(value) != version:
                continue
            first = self._first.setdefault((name, value.dtype), value)
            if first is not value and torch.equal(first, value):
                value.data = first.data
        self._watched = []

    def own_bytes(self, models: "Iterable[nn.Module]") -> int:
        """Return how many bytes models hold beyond these weights."""
        shared = {_place(value) for value in self._first.values()}
        own = {
            _place(value): value.untyped_storage().nbytes()
            for model in models
            for value in (*model.parameters(), *model.buffers())
        }
        return sum(size for place, size in own.items() if place not in shared)


def _version(value: "torch.Tensor") -> int:
    """Return how often a tensor was written into; those of inference mode do not count it."""
    return 0 if value.is_inference() else value._version


def _place(value: "torch.Tensor") -> "tuple[torch.device, int]":
    return value.device, value.untyped_storage().data_ptr()
