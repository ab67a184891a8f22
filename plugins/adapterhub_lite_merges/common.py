"""What families of strategies share."""

from collections.abc import Sequence
from typing import Any

from adapterhub_lite.streaming.tensors import MergeTensor


def weights_of(tensor: MergeTensor) -> list[float]:
    """Return each model's weight."""
    return [params.weight for params in tensor.model_params]


def normalisation_reasons(params: Any, models: Sequence[Any]) -> list[str]:
    """Say why weights cannot be normalised: they sum to zero."""
    total = sum(model.weight for model in models)
    if params.normalize and abs(total) < 1e-12:
        return [f"the weights sum to {total:g}, and are to be normalised (normalize: true)"]
    return []
