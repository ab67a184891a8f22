"""From a quantised model back to one in floating point."""

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite_quant.library import QUANTISED, stored_weight


def restored(base: LoadedBase) -> LoadedBase:
    """Return a copy of the base whose layers are of the classes they were before quantisation.

    The weights are those that the quantised layers store, in float32; the original's are lost.
    transformers' own ``dequantize`` works in place, and leaves GPT-2 with transposed weights that
    its own class cannot load.
    """
    floating = {
        id(layer): _floating_layer(layer)
        for layer in base.model.modules()
        if isinstance(layer, QUANTISED)
    }
    # What deepcopy finds in its memo it takes for a copy: quantised layers are not copied at all.
    model = copy.deepcopy(base.model, dict[int, Any](floating))
    _forget_quantisation(model)
    return replace(base, model=model, quantised=False)


def _floating_layer(layer: Any) -> nn.Module:
    inputs, outputs = layer.in_features, layer.out_features
    weight = stored_weight(layer)
    made: nn.Module
    with torch.device("meta"):
        if issubclass(layer.source_cls, Conv1D):
            made, weight = Conv1D(outputs, inputs), weight.T.contiguous()
        else:
            made = nn.Linear(inputs, outputs, bias=layer.bias is not None)
    made.weight = nn.Parameter(weight)
    if layer.bias is not None:
        made.bias = nn.Parameter(layer.bias.detach().float().clone())
    return made.train(layer.training)


def _forget_quantisation(model: Any) -> None:
    model.hf_quantizer.remove_quantization_config(model)
    model.is_loaded_in_4bit = model.is_loaded_in_8bit = False
    model.config.dtype = torch.float32
    for module in model.modules():
        if hasattr(module, "config"):
            module.config._is_quantized = False
