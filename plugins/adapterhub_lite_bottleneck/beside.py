"""Bottleneck adapters beside one another, whose changes something else weighs in each layer."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import nn

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.tuners.beside import body_state
from adapterhub_lite.tuners.files import put_state
from adapterhub_lite.tuners.together import FIRST
from adapterhub_lite.tuners.wrapping import PEFT_ERRORS, first_line, quiet_peft, wrap
from adapterhub_lite_bottleneck.config import BottleneckConfig
from adapterhub_lite_bottleneck.layer import BottleneckLayer


def put_beside(
    base: LoadedBase,
    adapters: Mapping[str, tuple[BottleneckConfig, Path]],
    mixture: Callable[[int], nn.Module],
) -> None:
    """Put adapters into a base, without their heads, as ``load_fusible`` says.

    PEFT's wrapper is left aside: the base's own model has the layers in it.
    """
    states = {name: body_state(base, name, folder) for name, (_, folder) in adapters.items()}
    device = next(base.model.parameters()).device
    model: Any = None
    slots = []
    with torch.random.fork_rng(devices=[]), torch.device(device):
        for number, (name, (config, _)) in enumerate(adapters.items()):
            slot = f"member{number}" if number else FIRST
            # frozen, it drops nothing out
            bare = replace(config, modules_to_save=None, task_type=None, dropout=0.0)
            model = wrap(base, bare) if model is None else _added(model, slot, bare, name)
            put_state(model, states[name], slot)
            slots.append(slot)
    model.base_model.set_adapter(slots, inference_mode=True)
    model.requires_grad_(False)
    for layer in base.model.modules():
        if isinstance(layer, BottleneckLayer):
            layer.mixture = mixture(layer.out_features).to(device)


def _added(model: Any, slot: str, config: BottleneckConfig, name: str) -> Any:
    try:
        with quiet_peft():
            PeftModel.add_adapter(model, slot, config)
    except PEFT_ERRORS as error:
        raise CapabilityError(f"PEFT does not add {name!r}: {first_line(error)}") from error
    return model
