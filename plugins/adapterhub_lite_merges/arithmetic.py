"""Weighted sums of models, and of task vectors."""

from collections.abc import Sequence
from typing import Any

from adapterhub_lite.streaming.tensors import MergeTensor
from adapterhub_lite_merges.common import normalisation_reasons, weights_of


class Linear:
    """θ = Σ wᵢθᵢ / Σ wᵢ: model soups (Wortsman et al., 2022), summed in float32."""

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Refuse weights that sum to zero when they are to be normalised."""
        return normalisation_reasons(params, models)

    def merge(self, tensor: MergeTensor) -> None:
        """Write the weighted sum of each chunk."""
        weights = weights_of(tensor)
        total = sum(weights) if tensor.params.normalize else 1.0
        for chunk in tensor.chunks():
            result = chunk.model(0).mul_(weights[0])
            for number, weight in enumerate(weights[1:], 1):
                result.add_(chunk.model(number), alpha=weight)
            chunk.write(result.div_(total) if total != 1.0 else result)


class TaskArithmetic:
    """θ = θ₀ + λ Σ wᵢδᵢ (Ilharco et al., 2023)."""

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Refuse weights that sum to zero when they are to be normalised."""
        return normalisation_reasons(params, models)

    def merge(self, tensor: MergeTensor) -> None:
        """Write the base and the weighted sum of each chunk's task vectors."""
        weights = weights_of(tensor)
        factor = tensor.params.scale / (sum(weights) if tensor.params.normalize else 1.0)
        for chunk in tensor.chunks():
            result = chunk.base.clone()
            for number, weight in enumerate(weights):
                result.add_(chunk.delta(number), alpha=weight * factor)
            chunk.write(result)
