"""The tensors of a source under other names, some of them taken from elsewhere."""

from collections.abc import Mapping
from typing import Any

import torch

from adapterhub_lite.streaming.factors import Factors
from adapterhub_lite.streaming.headers import TensorShape
from adapterhub_lite.streaming.sources import Source
from adapterhub_lite.streaming.tensors import Origin


class View:
    """Gives the tensors that ``origins`` name, each from its own place."""

    def __init__(self, label: str, origins: Mapping[str, Origin]) -> None:
        self.label = label
        self.origins = origins
        self.tensors: Mapping[str, TensorShape] = {
            name: origin.source.tensors[origin.name] for name, origin in origins.items()
        }

    def read(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return the numbers ``start:stop`` of a flattened tensor, as a new float32 tensor."""
        origin = self.origins[name]
        return origin.source.read(origin.name, start, stop)

    def raw(self, name: str) -> torch.Tensor:
        """Return a whole tensor, in its shape, as it is stored."""
        origin = self.origins[name]
        return origin.source.raw(origin.name)


class UpdateView(View):
    """A view of an adapter's model, which tells what the adapter adds to ``base``."""

    def __init__(self, label: str, origins: Mapping[str, Origin], base: Source) -> None:
        super().__init__(label, origins)
        self.base = base

    def rests_on(self, name: str, base: Source, base_name: str) -> bool:
        """Say whether a tensor is ``base_name`` of ``base`` with an update."""
        origin = self.origins[name]
        source: Any = origin.source
        if hasattr(source, "rests_on"):
            return bool(source.rests_on(origin.name, base, base_name))
        return same_place(origin, Origin(base, base_name))

    def update(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Return what is added to ``start:stop``, or None where the tensor is the base's own."""
        origin = self.origins[name]
        source: Any = origin.source
        if not hasattr(source, "update"):
            return None
        added: torch.Tensor | None = source.update(origin.name, start, stop)
        return added

    def is_changed(self, name: str) -> bool:
        """Say whether the adapter changes a tensor at all."""
        origin = self.origins[name]
        source: Any = origin.source
        return hasattr(source, "is_changed") and bool(source.is_changed(origin.name))

    def factors(self, name: str) -> Factors | None:
        """Return a tensor's update as a product, in the tensor's orientation, where it is one."""
        origin = self.origins[name]
        source: Any = origin.source
        found: Factors | None = source.factors(origin.name) if hasattr(source, "factors") else None
        return found


def underlying(origin: Origin) -> Origin:
    """Return where a tensor is read in truth, behind all views."""
    while isinstance(origin.source, View):
        origin = origin.source.origins[origin.name]
    return origin


def same_place(one: Origin, other: Origin) -> bool:
    """Say whether two origins are the same numbers: one source, or one folder opened twice."""
    here, there = underlying(one), underlying(other)
    if here.name != there.name or type(here.source) is not type(there.source):
        return False
    folder = getattr(here.source, "folder", None)
    return here.source is there.source or (
        folder is not None and folder == getattr(there.source, "folder", None)
    )
