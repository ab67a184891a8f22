"""Model stock: fine-tuned models averaged, and drawn towards what they were trained from."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from adapterhub_lite.streaming.tensors import MergeTensor
from adapterhub_lite_merges.geometry import (
    Along,
    Numbers,
    as_matrix,
    cosines,
    deltas_of,
    inner_products,
    write_sum,
)

OPPOSED: Final = 1e-6
"""Where 1+(N−1)c is smaller, the task vectors' directions sum to zero, and t has no value."""


class ModelStock:
    """θ = t·mean θᵢ + (1−t)·θ₀ with t from the mean cosine of task vectors (Jang et al., 2024).

    The cosine does not depend on how large task vectors are, nor does t. One that is zero counts
    as perpendicular to the others. Where directions cancel out, the base is left as it is.
    """

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Have nothing to say."""
        return []

    def merge(self, tensor: MergeTensor) -> None:
        """Write the base and t times the mean task vector, for the tensor or for each row."""
        along: Along = "tensor"
        if tensor.params.filter_wise and tensor.is_matrix:
            along, tensor = "rows", as_matrix(tensor)
        count = len(tensor.origins)
        deltas = deltas_of(tensor)
        ratio = _ratio(inner_products(tensor, deltas, count, along))
        write_sum(tensor, deltas, np.tile(ratio / count, (count, 1)), along, onto_base=True)


def _ratio(products: Numbers) -> Numbers:
    """Return t for each group."""
    count = len(products)
    cosine = cosines(products)
    others = cosine.sum(axis=(0, 1)) - np.einsum("iig->g", cosine)
    mean = others / (count * (count - 1))
    below = 1.0 + (count - 1) * mean
    ratio: Numbers = np.divide(count * mean, below, out=np.zeros_like(mean), where=below > OPPOSED)
    return ratio
