"""Merged task vectors that are optimised so that tasks disturb each other little."""

from collections.abc import Sequence
from typing import Any, Final

import torch

from adapterhub_lite.streaming.naming import role_of
from adapterhub_lite.streaming.tensors import MergeTensor
from adapterhub_lite_merges.geometry import deltas_of, mean_coefficients, write_sum

FIRST_DECAY: Final = 0.9
SECOND_DECAY: Final = 0.999
EPSILON: Final = 1e-8
"""Adam's constants (Kingma and Ba, 2015)."""


class Wudi:
    """WUDI (Cheng et al., 2025): a task's update spans the inputs of its linear layers.

    So what the merged update τ does to a task is measured on the task's own update, with no data:
    Σ ‖(τ − δᵢ)δᵢᵀ‖² / ‖δᵢ‖², minimised by Adam from τ = Σ δᵢ. It is not run to the minimum:
    learning rate and iterations are part of the definition. Linear layers only; the task vectors
    of embeddings and of all that is no matrix are averaged.
    """

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Have nothing to say."""
        return []

    def merge(self, tensor: MergeTensor) -> None:
        """Write the base and the merged task vector."""
        linear = len(tensor.shape) == 2 and tensor.is_matrix
        if not linear or role_of(tensor.name) == "embeddings":
            coefficients = mean_coefficients(len(tensor.origins))
            write_sum(tensor, deltas_of(tensor), coefficients, onto_base=True)
            return
        whole = tensor.whole()
        quadratic, pulled, merged = _loss(whole.deltas)
        _minimise(quadratic, pulled, merged, tensor.params)
        whole.write(merged.add_(whole.base))


def _loss(deltas: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return A, B and Σ δᵢ: the loss has the gradient 2(τA − B).

    A = Σ δᵢᵀδᵢ/‖δᵢ‖² and B = Σ δᵢδᵢᵀδᵢ/‖δᵢ‖²: with them a step costs one product of matrices,
    however many tasks there are. A task that changes nothing has no part in either.
    """
    total = torch.zeros_like(deltas[0])
    pulled = torch.zeros_like(total)
    quadratic = total.new_zeros(total.shape[1], total.shape[1])
    for delta in deltas:
        total.add_(delta)
        square = delta.square().sum().item()
        if square > 0.0:
            own = (delta.T @ delta).div_(square)
            quadratic.add_(own)
            pulled.addmm_(delta, own)
    return quadratic, pulled, total


def _minimise(
    quadratic: torch.Tensor, pulled: torch.Tensor, merged: torch.Tensor, params: Any
) -> None:
    """Move ``merged`` by steps of Adam, in place."""
    mean, square = torch.zeros_like(merged), torch.zeros_like(merged)
    for step in range(1, params.iterations + 1):
        gradient = torch.addmm(pulled, merged, quadratic, beta=-2.0, alpha=2.0)
        mean.lerp_(gradient, 1.0 - FIRST_DECAY)
        square.mul_(SECOND_DECAY).addcmul_(gradient, gradient, value=1.0 - SECOND_DECAY)
        rate = params.learning_rate / (1.0 - FIRST_DECAY**step)
        spread = square.div(1.0 - SECOND_DECAY**step).sqrt_().add_(EPSILON)
        merged.addcdiv_(mean, spread, value=-rate)
