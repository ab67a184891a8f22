"""Methods that add to a layer's output in place, on a base in few bits.

bitsandbytes returns a view from its products, which autograd does not let anybody write to: the
first step would fail. A copy may be written to.
"""

from typing import Any

import torch
from torch import nn

from adapterhub_lite.tuners.wrapping import tuner_layers


def copy_outputs(model: Any) -> None:
    """Let every layer that a method adapts hand it a copy of the base layer's output."""
    for layer in tuner_layers(model).values():
        layer.get_base_layer().register_forward_hook(_copied)


def _copied(layer: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
    return output.clone()
