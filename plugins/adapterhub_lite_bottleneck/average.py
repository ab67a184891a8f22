"""A weighted average of bottleneck adapters is one wider bottleneck adapter, exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite_bottleneck.layer import BottleneckLayer

if TYPE_CHECKING:
    from adapterhub_lite_bottleneck.config import BottleneckConfig
    from adapterhub_lite_bottleneck.tuner import BottleneckModel


def add_average(
    tuner: BottleneckModel, adapters: Sequence[str], weights: Sequence[float], name: str
) -> None:
    """Add an adapter ``name`` whose change is ``sum(w * change of a)`` over the ``adapters``.

    The bottlenecks are laid side by side, so the new width is the sum of theirs; weights and
    scalings go into ``up``. It averages what the adapters do in each layer given the same input.
    Raises CapabilityError when the adapters differ in more than width, scaling and dropout.
    """
    configs = _check(tuner, adapters, weights, name)
    layers = [module for module in tuner.model.modules() if isinstance(module, BottleneckLayer)]
    held = [layer for layer in layers if adapters[0] in layer.bottleneck_down]
    width = sum(held[0].projections(adapter)[0].out_features for adapter in adapters)
    tuner.peft_config[name] = replace(
        configs[0], bottleneck_size=width, scaling=1.0, dropout=0.0, modules_to_save=None
    )
    tuner.inject_adapter(tuner.model, name)
    tuner._cast_adapter_dtype(name)
    for layer in held:
        _fill(layer, adapters, weights, name)


def _check(
    tuner: BottleneckModel, adapters: Sequence[str], weights: Sequence[float], name: str
) -> list[BottleneckConfig]:
    if not adapters or len(adapters) != len(weights) or not all(map(math.isfinite, weights)):
        raise CapabilityError("an average takes a finite weight for each of its adapters")
    if name in tuner.peft_config:
        raise CapabilityError(f"there is already an adapter called {name!r}")
    if missing := [adapter for adapter in adapters if adapter not in tuner.peft_config]:
        raise CapabilityError(
            f"no adapter is called {missing[0]!r}",
            hint=f"loaded: {', '.join(sorted(tuner.peft_config))}",
        )
    configs: list[BottleneckConfig] = [tuner.peft_config[adapter] for adapter in adapters]
    for field in ("style", "non_linearity", "target_modules", "layers_to_transform"):
        values = [getattr(config, field) for config in configs]
        if any(value != values[0] for value in values):
            raise CapabilityError(
                f"adapters that differ in {field} have no common bottleneck: {values}",
                hint="apply them one after the other instead: set_adapter with both names",
            )
    return configs


@torch.no_grad()
def _fill(
    layer: BottleneckLayer, adapters: Sequence[str], weights: Sequence[float], name: str
) -> None:
    factors = [
        weight * layer.scaling[adapter] for adapter, weight in zip(adapters, weights, strict=True)
    ]
    downs, ups = zip(*map(layer.projections, adapters), strict=True)
    down, up = layer.projections(name)
    down.weight.copy_(torch.cat([part.weight for part in downs]))
    down.bias.copy_(torch.cat([part.bias for part in downs]))
    scaled = [factor * part.weight for factor, part in zip(factors, ups, strict=True)]
    up.weight.copy_(torch.cat(scaled, dim=1))
    biases = [factor * part.bias for factor, part in zip(factors, ups, strict=True)]
    up.bias.copy_(torch.stack(biases).sum(dim=0))
