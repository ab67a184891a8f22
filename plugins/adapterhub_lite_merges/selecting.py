"""At each place the models that tell most there: by variance, by size, by agreement."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import torch

from adapterhub_lite.streaming.selection import RESIDENT, top_magnitudes
from adapterhub_lite.streaming.tensors import Chunk, MergeTensor
from adapterhub_lite_merges.sparsify import Largest

Selected = tuple[Chunk, list[torch.Tensor]]


class Sce:
    """Select, calculate, erase (Wan et al., 2024): what varies most, weighted, without minorities.

    Of each tensor's entries that differ between models the ``select_topk`` of largest variance are
    kept; a model's weight is its mean square of these; entries against the sign of the sum are
    erased, and what is left is averaged. A sum of zero counts as plus.
    """

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Refuse to select from one model, which differs from no other."""
        if params.select_topk < 1.0 and len(models) < 2:
            return ["select_topk selects what varies between models, and there is only one"]
        return []

    def merge(self, tensor: MergeTensor) -> None:
        """Find what is kept, then the weights, then write: a pass over the chunks for each."""
        selected = MostVarying(tensor) if tensor.params.select_topk < 1.0 else Everything(tensor)
        weights = _energy_weights(selected, len(tensor.origins))
        for chunk, deltas in selected.chunks():
            chunk.write(_majority_mean(deltas, weights).add_(chunk.base))


class MagMax:
    """θ = θ₀ + λ δₘ, m = argmaxᵢ |δᵢ| (Marczak et al., 2024); +x is preferred to -x."""

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Find nothing: any models can be merged so."""
        return []

    def merge(self, tensor: MergeTensor) -> None:
        """Write each chunk's entries of largest magnitude."""
        for chunk in tensor.chunks():
            highest = chunk.delta(0)
            lowest = highest.clone()
            for number in range(1, len(tensor.origins)):
                delta = chunk.delta(number)
                torch.maximum(highest, delta, out=highest)
                torch.minimum(lowest, delta, out=lowest)
            farther = torch.ge(highest, lowest.neg(), out=torch.empty_like(highest))
            largest = lowest.lerp_(highest, farther)  # exact: the weights are 0 and 1
            chunk.write(largest.mul_(tensor.params.scale).add_(chunk.base))


class ConsensusTaskArithmetic:
    """Task arithmetic of the entries that at least k models need (Wang et al., 2024).

    A model needs an entry by its TALL mask, |θ₀ - θᵢ| > t·|θ₀ + τ - θᵢ|, where τ = Σ δᵢ.
    """

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Refuse a k that no entry can reach."""
        if params.k > len(models):
            return [f"no entry is needed by k = {params.k} of {len(models)} models: give a lower k"]
        return []

    def merge(self, tensor: MergeTensor) -> None:
        """Write each chunk's sum of task vectors where enough masks agree."""
        for chunk in tensor.chunks():
            deltas = chunk.deltas
            total = _sum(deltas)
            agreed = torch.zeros_like(total)
            bound = torch.empty_like(total)
            for delta in deltas:
                torch.sub(total, delta, out=bound).abs_().mul_(tensor.params.mask_threshold)
                agreed.add_(torch.gt(delta.abs_(), bound, out=bound))
            kept = agreed.ge_(tensor.params.k)
            chunk.write(total.mul_(kept).mul_(tensor.params.scale).add_(chunk.base))


class Selection(Protocol):
    """Task vectors, 0 where they are not selected."""

    def chunks(self) -> Iterator[Selected]:
        """Yield each chunk with its task vectors, which may be changed; can be called again."""


class Everything:
    """All entries of a tensor."""

    def __init__(self, tensor: MergeTensor) -> None:
        self._tensor = tensor

    def chunks(self) -> Iterator[Selected]:
        """Yield each chunk and its task vectors."""
        return ((chunk, chunk.deltas) for chunk in self._tensor.chunks())


class MostVarying:
    """The ``select_topk`` of largest variance among a tensor's entries that differ at all."""

    def __init__(self, tensor: MergeTensor) -> None:
        self._tensor = tensor
        self._held: list[torch.Tensor] = []
        if tensor.size <= RESIDENT:
            self._held = [*self._spreads()]  # measured once
        varying = sum(int(spread.sign().sum(dtype=torch.float64)) for spread in self._spreads())
        count = int(tensor.params.select_topk * varying)
        self._selector = top_magnitudes(self._spreads, tensor.size, count)

    def chunks(self) -> Iterator[Selected]:
        """Yield each chunk and its task vectors, 0 where they are not selected."""
        keep = Largest(self._selector)
        for number, chunk in enumerate(self._tensor.chunks()):
            deltas = chunk.deltas
            kept = keep(self._held[number] if self._held else _spread(deltas)).sign_()
            for delta in deltas:
                delta.mul_(kept)
            yield chunk, deltas

    def _spreads(self) -> Iterable[torch.Tensor]:
        return self._held or (_spread(chunk.deltas) for chunk in self._tensor.chunks())


def _spread(deltas: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return n² times the variance at each place: exactly 0 where all are equal, else positive.

    Taken around the first, which keeps Σ e² ≤ n Σ e² - (Σ e)²: little cancels.
    """
    first, *others = deltas
    squares, total = torch.zeros_like(first), torch.zeros_like(first)
    for delta in others:
        away = delta - first
        squares.addcmul_(away, away)
        total.add_(away)
    return squares.mul_(len(deltas)).addcmul_(total, total, value=-1.0)


def _energy_weights(selection: Selection, models: int) -> list[float]:
    """Return each model's share of the sum of squares: equal ones where nothing changed."""
    energies = [0.0] * models
    for _, deltas in selection.chunks():
        for number, delta in enumerate(deltas):
            exact = delta.view(-1).double()
            energies[number] += torch.dot(exact, exact).item()
    total = sum(energies)
    if total == 0.0:
        return [1.0 / models] * models
    return [energy / total for energy in energies]


def _majority_mean(deltas: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """Return the weighted mean of those that have the sign of the unweighted sum."""
    sign = _sum(deltas).ge_(0.0).mul_(2.0).sub_(1.0)
    result, counted = torch.zeros_like(sign), torch.zeros_like(sign)
    agrees = torch.empty_like(sign)
    for delta, weight in zip(deltas, weights, strict=True):
        # Times the sign all that agree are positive; the sign is put back at the end.
        agreeing = delta.mul_(sign).relu_()
        counted.add_(torch.gt(agreeing, 0.0, out=agrees), alpha=weight)
        result.add_(agreeing, alpha=weight)
    nobody = torch.eq(counted, 0.0, out=agrees)
    return result.div_(counted.add_(nobody)).mul_(sign)


def _sum(values: Sequence[torch.Tensor]) -> torch.Tensor:
    total = values[0].clone()
    for value in values[1:]:
        total.add_(value)
    return total
