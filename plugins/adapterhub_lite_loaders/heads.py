"""Heads in float32 on a body in 16 bits.

A new head learns from nothing. bfloat16 has 8 bits of precision, so an optimiser's step that is
smaller than 1/512 of a weight is lost in it; float32 keeps them all. PEFT keeps adapters in float32
for the same reason, and casts what goes into them.
"""

from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from adapterhub_lite.architecture import weight_files
from adapterhub_lite.protocols import LoadedBase


def keep_in_float32(base: LoadedBase) -> None:
    """Turn a loaded base's new modules into float32, and cast what goes into them.

    A head that the files hold in float32 gets its exact values: transformers has rounded them.
    """
    rounded = {
        name: parameter.detach()
        for name, parameter in base.model.named_parameters()
        if name.startswith(tuple(f"{module}." for module in base.new))
    }
    for name in base.new:
        module = base.model.get_submodule(name).float()
        module.register_forward_pre_hook(_cast_inputs, with_kwargs=True)
    if rounded:
        _restore(base, rounded)


def _cast_inputs(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return tuple(map(_to_float32, args)), {key: _to_float32(kwargs[key]) for key in kwargs}


def _to_float32(value: Any) -> Any:
    floating = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.float() if floating else value


@torch.no_grad()
def _restore(base: LoadedBase, rounded: dict[str, torch.Tensor]) -> None:
    """Copy what the files hold over what was rounded from it, and over nothing drawn anew."""
    prefix = f"{base.model.base_model_prefix}."
    exact = dict(base.model.named_parameters())
    for file in weight_files(base.path, base.path.name):
        with safe_open(file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - it is no mapping
                name = key if key in rounded else prefix + key
                if name not in rounded:
                    continue
                stored = tensors.get_tensor(key).to(rounded[name].device)
                if torch.equal(stored.to(rounded[name].dtype), rounded[name]):
                    exact[name].copy_(stored)
