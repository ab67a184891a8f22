"""Merges of sparsified task vectors, summed as they are or where the models agree on the sign."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

import torch

from adapterhub_lite.errors import MergeError
from adapterhub_lite.streaming.selection import Selector, top_magnitudes
from adapterhub_lite.streaming.tensors import Chunk, MergeTensor
from adapterhub_lite_merges.common import normalisation_reasons, weights_of
from adapterhub_lite_merges.consensus import agreed_sum
from adapterhub_lite_merges.rescale import restoring_norm
from adapterhub_lite_merges.sparsify import (
    LargestMagnitudes,
    MagnitudeBand,
    RankedDraw,
    Sparsification,
    Sparsifier,
    UniformDraw,
    deltas,
    kept_count,
)

Prepared = dict[str, list[Selector]]

BOTH_SIGNS: Final = (
    "weights of both signs cannot be normalised by those that agree (set normalize: false)"
)


class SparseSum:
    """θ = θ₀ + λ Σ wᵢδ̂ᵢ, over Σ wᵢ where it is normalised."""

    def __init__(self, sparsification: Sparsification) -> None:
        self._sparsification = sparsification

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Refuse weights that sum to zero when they are to be normalised, and impossible draws."""
        own = chain.from_iterable(map(self._sparsification.reasons, models))
        return [*normalisation_reasons(params, models), *own]

    def merge(self, tensor: MergeTensor) -> None:
        """Write the base and what was made of each chunk's task vectors."""
        rows = self._sparsification.rows
        keep: list[Sparsifier] = [
            self._sparsification.sparsifier(tensor, number) for number in range(len(tensor.origins))
        ]
        factors = [1.0] * len(keep)
        if tensor.params.rescale and tensor.params.rescale_norm != "probability":
            keep, factors = restoring_norm(tensor, keep, tensor.params.rescale_norm, rows=rows)
        for chunk in tensor.chunks(rows=rows):
            kept = (sparsify(chunk, chunk.delta(n)) for n, sparsify in enumerate(keep))
            chunk.write(self.combined(tensor, chunk, kept, factors))

    def combined(
        self,
        tensor: MergeTensor,
        chunk: Chunk,
        kept: Iterator[torch.Tensor],
        factors: Sequence[float],
    ) -> torch.Tensor:
        """Return the result for a chunk; ``factors`` are those of the rescaling."""
        weights = weights_of(tensor)
        common = tensor.params.scale / (sum(weights) if tensor.params.normalize else 1.0)
        result = chunk.base.clone()
        for values, weight, factor in zip(kept, weights, factors, strict=True):
            result.add_(values, alpha=weight * common * factor)
        return result


class ConsensusSum(SparseSum):
    """θ = θ₀ + λ Σ mᵢwᵢδ̂ᵢ, over Σ mᵢwᵢ where it is normalised; m: who agrees on the sign."""

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Refuse also weights of both signs when they are to be normalised.

        Their sum over those that agree may come near zero, or turn the elected sign around.
        """
        reasons = super().check(params, models)
        weights = [model.weight for model in models]
        if params.normalize and min(weights) < 0.0 < max(weights):
            return [*reasons, BOTH_SIGNS]
        return reasons

    def combined(
        self,
        tensor: MergeTensor,
        chunk: Chunk,
        kept: Iterator[torch.Tensor],
        factors: Sequence[float],
    ) -> torch.Tensor:
        """Return the result for a chunk; ``factors`` are those of the rescaling."""
        weights = weights_of(tensor)
        values = [
            values.mul_(weight * factor)
            for values, weight, factor in zip(kept, weights, factors, strict=True)
        ]
        result = agreed_sum(values, weights, normalize=tensor.params.normalize)
        return result.mul_(tensor.params.scale).add_(chunk.base)


class Ties(ConsensusSum):
    """TIES: trim, elect a sign, merge those that agree (Yadav et al., 2023)."""

    def __init__(self) -> None:
        super().__init__(LargestMagnitudes())

    def prepare(self, tensors: Sequence[MergeTensor]) -> Prepared | None:
        """Find what is kept of the whole models, their tensors in the order of their names.

        Only for ``scope: model``. Raises MergeError when a model's density is not one for all.
        """
        flat = sorted(
            (tensor for tensor in tensors if tensor.params.scope == "model"),
            key=lambda tensor: tensor.name,
        )
        if not flat:
            return None
        each = [selectors(flat, number) for number in range(len(flat[0].origins))]
        return {
            tensor.name: list(own)
            for tensor, own in zip(flat, zip(*each, strict=True), strict=True)
        }


class DareLinear(SparseSum):
    """DARE (Yu et al., 2024)."""

    def __init__(self) -> None:
        super().__init__(UniformDraw())


class DareTies(ConsensusSum):
    """DARE (Yu et al., 2024), then the vote of TIES."""

    def __init__(self) -> None:
        super().__init__(UniformDraw())


class Della(ConsensusSum):
    """DELLA (Deep et al., 2024)."""

    def __init__(self) -> None:
        super().__init__(RankedDraw())


class DellaLinear(SparseSum):
    """DELLA (Deep et al., 2024) without the vote."""

    def __init__(self) -> None:
        super().__init__(RankedDraw())


class Breadcrumbs(SparseSum):
    """Model Breadcrumbs (Davari and Belilovsky, 2023)."""

    def __init__(self) -> None:
        super().__init__(MagnitudeBand())


class BreadcrumbsTies(ConsensusSum):
    """Model Breadcrumbs (Davari and Belilovsky, 2023), then the vote of TIES."""

    def __init__(self) -> None:
        super().__init__(MagnitudeBand())


def selectors(tensors: Sequence[MergeTensor], number: int) -> list[Selector]:
    """Return what keeps one model's largest magnitudes of all tensors together, for each of them.

    Raises MergeError when its density is not the same everywhere.
    """
    densities = {tensor.model_params[number].density for tensor in tensors}
    if len(densities) > 1:
        raise MergeError(
            f"ties of the whole model needs one density for model {number + 1}, and it has"
            f" {min(densities):g} to {max(densities):g}",
            hint="give it one density, or select by tensor (scope: tensor)",
        )
    size = sum(tensor.size for tensor in tensors)
    together = top_magnitudes(
        lambda: chain.from_iterable(deltas(tensor, number) for tensor in tensors),
        size,
        kept_count(densities.pop(), size),
    )
    return (
        [together] * len(tensors) if together.all_equal else shared_out(together, tensors, number)
    )


def shared_out(together: Selector, tensors: Sequence[MergeTensor], number: int) -> list[Selector]:
    """Return a selector for each tensor, with its share of those equal to the threshold."""
    left = together.equal
    shares = []
    for tensor in tensors:
        equal = equals(tensor, number, together.threshold) if left else 0
        shares.append(Selector(together.threshold, min(left, equal), all_equal=False))
        left -= min(left, equal)
    return shares


def equals(tensor: MergeTensor, number: int, threshold: float) -> int:
    """Count the numbers of one model's task vector that have a magnitude."""
    return sum(int((delta.abs() == threshold).count_nonzero()) for delta in deltas(tensor, number))
