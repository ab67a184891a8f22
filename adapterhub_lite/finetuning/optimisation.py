"""Optimisers, which weights decay, and the learning rate's course."""

import math
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import nn

from adapterhub_lite.errors import MissingDependencyError
from adapterhub_lite.finetuning.params import OptimiserName, TrainerParams
from adapterhub_lite.finetuning.settings import BITSANDBYTES, QUANT_LINE

Parameters = Mapping[str, nn.Parameter]


def decays(name: str, parameter: torch.Tensor) -> bool:
    """Say whether weight decay may pull a parameter towards zero.

    Matrices decay, as under the Trainer. Vectors do not: biases and norms, nor what scales
    something and starts at one or at a weight's own norm (IA3, VeRA, DoRA), which decay would
    switch off. Soft prompts do not either: they stand for token embeddings and have to keep their
    size. A reparametrisation of prompts is a network and decays.
    """
    is_matrix = sum(size > 1 for size in parameter.shape) >= 2
    is_norm = "norm" in name.lower()
    is_prompt = "prompt_encoder." in name and name.endswith("embedding.weight")
    return is_matrix and not is_norm and not is_prompt


def make_optimiser(
    parameters: Parameters, params: TrainerParams, learning_rate: float
) -> torch.optim.Optimizer:
    """Return the optimiser that ``params`` name; raises MissingDependencyError."""
    groups = [
        {
            "params": [p for name, p in parameters.items() if decays(name, p) is decay],
            "weight_decay": params.weight_decay if decay else 0.0,
        }
        for decay in (True, False)
    ]
    groups = [group for group in groups if group["params"]]
    return _OPTIMISERS[params.optimizer](groups, learning_rate)


def _adamw(groups: Sequence[dict[str, Any]], rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=rate, fused=True)


def _adamw_8bit(groups: Sequence[dict[str, Any]], rate: float) -> torch.optim.Optimizer:
    try:
        library = import_module("bitsandbytes.optim")
    except ImportError as error:
        raise MissingDependencyError(BITSANDBYTES, install=QUANT_LINE) from error
    optimiser: torch.optim.Optimizer = library.AdamW8bit(groups, lr=rate)
    return optimiser


def _adafactor(groups: Sequence[dict[str, Any]], rate: float) -> torch.optim.Optimizer:
    from transformers.optimization import Adafactor

    optimiser: torch.optim.Optimizer = Adafactor(
        groups, lr=rate, scale_parameter=False, relative_step=False
    )
    return optimiser


def _sgd(groups: Sequence[dict[str, Any]], rate: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=rate)


_OPTIMISERS: Mapping[
    OptimiserName, Callable[[Sequence[dict[str, Any]], float], torch.optim.Optimizer]
] = {"adamw": _adamw, "adamw-8bit": _adamw_8bit, "adafactor": _adafactor, "sgd": _sgd}


def rate_factors(params: TrainerParams, steps: int) -> Callable[[int], float]:
    """Return by what the peak rate is multiplied at a step, counted from 0.

    The courses are those of transformers' ``get_scheduler``, so a curve is the Trainer's; but
    ``constant`` warms up where a warm-up is asked for, which the Trainer drops without a word.
    """
    from transformers import get_scheduler

    warm = math.ceil(params.warmup * steps)
    name = params.schedule.replace("-", "_")
    if name == "constant" and warm:
        name = "constant_with_warmup"
    stand_in = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = get_scheduler(name, stand_in, num_warmup_steps=warm, num_training_steps=steps)
    factor: Callable[[int], float] = scheduler.lr_lambdas[0]
    return factor


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group of parameters a learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def optimiser_state(
    optimiser: torch.optim.Optimizer, parameters: Parameters
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return what an optimiser remembers of each parameter: tensors and JSON values by name."""
    tensors: dict[str, torch.Tensor] = {}
    values: dict[str, Any] = {}
    for name, parameter in parameters.items():
        for key, value in optimiser.state.get(parameter, {}).items():
            kind = tensors if isinstance(value, torch.Tensor) else values
            kind[f"{name}/{key}"] = value
    return tensors, values


def restore_optimiser(
    optimiser: torch.optim.Optimizer,
    parameters: Parameters,
    tensors: Mapping[str, torch.Tensor],
    values: Mapping[str, Any],
) -> None:
    """Put back what :func:`optimiser_state` returned, bit by bit.

    ``load_state_dict`` would cast the state to the parameter's type: Adafactor keeps float32 for
    bfloat16 weights.
    """
    for full_name, value in {**tensors, **values}.items():
        name, _, key = full_name.rpartition("/")
        parameter = parameters[name]
        held = value.to(parameter.device, copy=True) if isinstance(value, torch.Tensor) else value
        optimiser.state[parameter][key] = held
