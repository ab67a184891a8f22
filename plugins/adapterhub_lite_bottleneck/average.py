"""A weighted average of bottleneck adapters is one wider bottleneck adapter, exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch

from adapterhub_lite.errors import CapabilityError, IntegrityError
from adapterhub_lite_bottleneck.layer import BottleneckLayer

if TYPE_CHECKING:
    from adapterhub_lite.tuners.files import State
    from adapterhub_lite_bottleneck.config import BottleneckConfig
    from adapterhub_lite_bottleneck.tuner import BottleneckModel

DOWN: Final = "bottleneck_down"
UP: Final = "bottleneck_up"


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
    configs: dict[str, BottleneckConfig] = {name: tuner.peft_config[name] for name in adapters}
    if reasons := differences(configs):
        raise CapabilityError(
            reasons[0], hint="apply them one after the other instead: set_adapter with both names"
        )
    return list(configs.values())


def differences(configs: Mapping[str, BottleneckConfig]) -> list[str]:
    """Return why adapters have no common bottleneck; width, scaling and dropout may differ."""
    reasons = []
    for field in ("style", "reads", "non_linearity", "target_modules", "layers_to_transform"):
        values = [getattr(config, field) for config in configs.values()]
        if any(value != values[0] for value in values):
            reasons.append(f"adapters that differ in {field} have no common bottleneck: {values}")
    return reasons


def side_by_side(
    configs: Mapping[str, BottleneckConfig],
    states: Mapping[str, State],
    weights: Mapping[str, float],
) -> tuple[BottleneckConfig, State]:
    """Return the adapter whose change is ``sum(w * change of a)``, without a head, from files.

    Raises IntegrityError for adapters that are not of the same layers.
    """
    parts = {name: _own(state, name) for name, state in states.items()}
    first, *others = parts
    for other in others:
        if parts[other].keys() != parts[first].keys():
            raise IntegrityError(f"{first} and {other} adapt other layers of the base")
    made: State = {}
    for key in parts[first]:
        held = {name: state[key] for name, state in parts.items()}
        if f".{DOWN}." in key:
            made[key] = torch.cat(list(held.values()))
            continue
        factors = [weights[name] * _scaling(configs[name]) for name in held]
        scaled = [(f * v.double()) for f, v in zip(factors, held.values(), strict=True)]
        joined = torch.cat(scaled, dim=1) if key.endswith(".weight") else torch.stack(scaled).sum(0)
        made[key] = joined.to(held[first].dtype)
    width = next(len(value) for key, value in made.items() if f".{DOWN}." in key)
    config = replace(
        configs[first], bottleneck_size=width, scaling=1.0, dropout=0.0, modules_to_save=None
    )
    return config, made


def _own(state: State, name: str) -> State:
    """Return an adapter's own tensors, in the order of their names."""
    own = {key: state[key] for key in sorted(state) if f".{DOWN}." in key or f".{UP}." in key}
    if not own:
        raise IntegrityError(f"{name} holds no bottleneck")
    return own


def _scaling(config: BottleneckConfig) -> float:
    assert config.scaling is not None, "a config fills in its style's"
    return config.scaling


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
