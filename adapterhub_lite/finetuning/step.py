"""One optimiser step over any number of micro-batches, equal to one step over the big batch.

The step's loss is the sum of all losses over the sum of all units. The Trainer instead averages
the micro-batches' means: where rows count differently (tokens of completions, tagged words, a
shorter last batch) that is another gradient, and for losses that it takes for a language model's
it does not divide at all (4 times loss and gradient for 4 batches of 8, transformers 5.23).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from adapterhub_lite.errors import NonFiniteError
from adapterhub_lite.finetuning.learner import Feature, Learner
from adapterhub_lite.finetuning.precision import Precision

Batch = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StepFigures:
    """``loss`` is summed over ``units``; ``grad_norm`` is taken before clipping."""

    loss: float
    units: float
    grad_norm: float


@dataclass(frozen=True, slots=True)
class Stepper:
    """Takes optimiser steps.

    ``max_grad_norm`` 0 clips nothing; ``on_step`` is told the step's number while gradients stand.
    ``penalty`` is added to a step's loss once, and is no part of the figures.
    """

    model: nn.Module
    learner: Learner
    parameters: Sequence[nn.Parameter]
    optimiser: torch.optim.Optimizer
    precision: Precision
    max_grad_norm: float
    on_step: Callable[[int], None] | None = None
    penalty: Callable[[], torch.Tensor] | None = None

    def step(self, number: int, micro_batches: Sequence[Sequence[Feature]]) -> StepFigures:
        """Take step ``number``; raises NonFiniteError when loss or gradient is not finite.

        A step whose units are 0 has a gradient of 0.
        """
        device = self.parameters[0].device
        batches = [_to(self.learner.collate(features), device) for features in micro_batches]
        units = torch.stack([self.learner.units(batch).to(device) for batch in batches]).sum()
        divisor = torch.where(units > 0, units, 1)
        total = torch.zeros((), dtype=torch.float64, device=device)
        for batch in batches:
            total += self._backward(batch, divisor)
        if self.penalty:
            self.precision.scaler.scale(self.penalty()).backward()  # type: ignore[no-untyped-call]
        norm = self._update(number)
        # One transfer from the device for everything that has to be known here.
        stacked = torch.stack([total, units.double(), norm.double()])
        figures = StepFigures(*stacked.tolist())
        self._check(figures, number)
        return figures

    def _backward(self, batch: Batch, divisor: torch.Tensor) -> torch.Tensor:
        with self.precision.forward():
            loss = self.learner.loss(self.model, batch)
        self.precision.scaler.scale(loss / divisor).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _update(self, number: int) -> torch.Tensor:
        scaler = self.precision.scaler
        scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm or math.inf)
        scaler.step(self.optimiser)
        scaler.update()
        if self.on_step:
            self.on_step(number)
        self.optimiser.zero_grad(set_to_none=True)
        return norm

    def _check(self, figures: StepFigures, number: int) -> None:
        if not math.isfinite(figures.loss):
            what, value = "loss", figures.loss
        elif not math.isfinite(figures.grad_norm) and not self._can_scale_down():
            what, value = "gradient's norm", figures.grad_norm
        else:
            return
        raise NonFiniteError(
            f"the {what} became {value} at step {number}",
            step=number,
            hint="lower objective.learning_rate, warm up longer, or use precision: fp32",
        )

    def _can_scale_down(self) -> bool:
        """Say whether the scaler has skipped this step, to try the next with a smaller scale."""
        scaler = self.precision.scaler
        return scaler.is_enabled() and scaler.get_scale() > 1


def _to(batch: Batch, device: torch.device) -> Batch:
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for name, value in batch.items()
    }
