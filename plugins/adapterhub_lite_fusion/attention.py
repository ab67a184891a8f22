"""How much a fusion attends to each of its adapters: the figures that tell what it has learnt."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite_fusion.block import FusionBlock

Attention = Mapping[str, Mapping[str, float]]
"""Layer's name → adapter's name → its mean weight over tokens; those of a layer sum to 1."""


def blocks_of(model: nn.Module) -> list[tuple[str, FusionBlock]]:
    """Return the attentions of a model by the names of their layers, in the model's order."""
    found = ((n, m) for n, m in model.named_modules() if isinstance(m, FusionBlock))
    return [(name.removesuffix(".mixture"), block) for name, block in found]


def mean_attention(model: nn.Module, ask: Callable[[], Any]) -> Attention:
    """Return how much a fused model attends to each adapter while ``ask`` asks it.

    The mean is over all tokens of all inputs that go through a layer, padding with them: ask one
    text at a time where texts differ in length. Raises CapabilityError for a model that is no
    fusion, and where nothing was asked.
    """
    members: Mapping[str, Any] = getattr(model, "fused_members", {})
    with _watched(blocks_of(model)) as sums:
        ask()
    if not sums:
        raise CapabilityError("no fusion was asked: there is no attention to tell")
    return {
        place: dict(zip(members, (total / total.sum()).tolist(), strict=True))
        for place, total in sums.items()
    }


@contextmanager
def _watched(blocks: list[tuple[str, FusionBlock]]) -> Iterator[dict[str, Tensor]]:
    """Sum up the weights of all tokens, layer by layer, for a while."""
    sums: dict[str, Tensor] = {}

    def watch(place: str, block: FusionBlock, given: tuple[Tensor, Tensor]) -> None:
        weights = block.attention(*given).detach().double()
        own = weights.reshape(-1, weights.shape[-1]).sum(0).cpu()
        sums[place] = sums.get(place, torch.zeros_like(own)) + own

    hooks = [block.register_forward_pre_hook(partial(watch, place)) for place, block in blocks]
    try:
        yield sums
    finally:
        for hook in hooks:
            hook.remove()
