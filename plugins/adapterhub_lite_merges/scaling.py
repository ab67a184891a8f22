"""Models, and task vectors, that are multiplied by a factor."""

from collections.abc import Sequence
from typing import Any

from adapterhub_lite.merging.layer_scaling import layer_factor
from adapterhub_lite.streaming.naming import role_of
from adapterhub_lite.streaming.tensors import MergeTensor
from adapterhub_lite_merges.common import weights_of


class Expo:
    """θ = θ₁ + α δ₁: model extrapolation (Zheng et al., 2025)."""

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Find nothing: any factor will do."""
        return []

    def merge(self, tensor: MergeTensor) -> None:
        """Write each chunk of the model and some of its task vector."""
        for chunk in tensor.chunks():
            chunk.write(chunk.model(0).add_(chunk.delta(0), alpha=tensor.params.alpha))


class Lines:
    """θ = θ₀ + (α + β·l / (L - 1)) Σ wᵢδᵢ: LiNeS (Wang et al., 2025).

    For what is in no layer see :func:`~adapterhub_lite.merging.layer_scaling.layer_factor`.
    """

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Find nothing: any factors will do."""
        return []

    def merge(self, tensor: MergeTensor) -> None:
        """Write the base and the layer's share of each chunk's task vectors."""
        params = tensor.params
        factor = layer_factor(tensor.layer, role_of(tensor.name), params.alpha, params.beta)
        weights = weights_of(tensor)
        for chunk in tensor.chunks():
            result = chunk.base.clone()
            for number, weight in enumerate(weights):
                result.add_(chunk.delta(number), alpha=weight * factor)
            chunk.write(result)


class Passthrough:
    """θ = s θ₁: a model's own tensors, for stacks of layers and for modules."""

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Find nothing: any factor will do."""
        return []

    def merge(self, tensor: MergeTensor) -> None:
        """Write each chunk times the factor."""
        scale = tensor.model_params[0].scale
        for chunk in tensor.chunks():
            chunk.write(chunk.model(0).mul_(scale))
