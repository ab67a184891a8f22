"""Methods that look at every step: AdaLoRA shares its ranks out anew, AdaMSS its subspaces."""

from collections.abc import Callable
from typing import Any, TypedDict

import torch

from adapterhub_lite.errors import RecipeError


class Hooks(TypedDict, total=False):
    """What a method that follows the training sets of ``Attached``."""

    on_start: Callable[[int], None]
    on_step: Callable[[int], None]


def step_hooks(model: Any, total_step: int | None) -> Hooks:
    """Return ``on_start`` and ``on_step`` for a wrapped model that wants them, else nothing.

    ``on_start`` is told how many optimiser steps there will be, ``on_step`` the number of the step
    just taken, from 1, before gradients are cleared. ``total_step`` is the recipe's own.
    """
    tuner = model.base_model
    if not hasattr(tuner, "update_and_allocate"):
        return {}

    def on_start(steps: int) -> None:
        config = model.peft_config["default"]
        if total_step is not None or not hasattr(config, "total_step"):
            return
        if config.tinit + config.tfinal >= steps:
            raise RecipeError(
                f"tinit and tfinal take {config.tinit + config.tfinal} steps, and the run has "
                f"{steps}",
                field="method.tinit",
                hint="train longer, or lower tinit and tfinal",
            )
        config.total_step = steps

    def on_step(step: int) -> None:
        for parameter in tuner.parameters():
            # PEFT multiplies by every gradient; an unused layer, as a pooler may be, has none
            if parameter.requires_grad and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        tuner.update_and_allocate(step)

    return {"on_start": on_start, "on_step": on_step}
