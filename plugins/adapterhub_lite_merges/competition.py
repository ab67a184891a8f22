"""Parameter competition balancing: entries compete within their model and between models."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations_with_replacement
from typing import Any

import torch

from adapterhub_lite.errors import MergeError
from adapterhub_lite.streaming.selection import top_magnitudes
from adapterhub_lite.streaming.tensors import MergeTensor
from adapterhub_lite_merges.common import weights_of

Pair = tuple[int, int]
Deltas = Sequence[torch.Tensor]


class ParameterCompetition:
    """PCB (Du et al., 2024), as the paper is summed up; the authors' code computes otherwise.

    βᵢ = softmax(n·N(δᵢ²)) · Σⱼ softmax(N(δᵢδⱼ)), both over all entries, where N maps them to 0…1.
    Of each model the largest ``density`` are kept, equals included, and weigh the mean of the task
    vectors; a model's ``weight`` is a factor of its own.
    """

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Find nothing: any models can be merged so."""
        return []

    def prepare(self, tensors: Sequence[MergeTensor]) -> "Competition | None":
        """Let the entries of all tensors of the scope "model" compete."""
        together = [tensor for tensor in tensors if tensor.params.scope == "model"]
        for tensor in together:
            if tensor.params.density != together[0].params.density:
                raise MergeError(
                    "pcb ranks the entries of the whole model, and their density differs",
                    tensor=tensor.name,
                    hint="give one density for all, or scope: tensor",
                )
        return compete(together) if together else None

    def merge(self, tensor: MergeTensor) -> None:
        """Write the mean of task vectors, weighted by the scores that are kept."""
        whole_model = tensor.params.scope == "model"
        competition: Competition = tensor.prepared if whole_model else compete([tensor])
        weights = weights_of(tensor)
        for chunk in tensor.chunks():
            deltas = chunk.deltas
            result, total = torch.zeros_like(deltas[0]), torch.zeros_like(deltas[0])
            for number, (delta, weight) in enumerate(zip(deltas, weights, strict=True)):
                kept = competition.kept(deltas, number)
                total.add_(kept)
                result.add_(kept.mul_(delta), alpha=weight)
            nobody = torch.eq(total, 0.0, out=torch.empty_like(total))
            result.div_(total.add_(nobody)).mul_(tensor.params.scale)
            chunk.write(result.add_(chunk.base))


@dataclass(frozen=True, slots=True)
class Exponentials:
    """The exponentials that the softmaxes are made of; ``ranges`` are those of the products."""

    ranges: Mapping[Pair, tuple[float, float]]

    def own(self, deltas: Deltas, number: int) -> torch.Tensor:
        """Return exp(n·N(δᵢ²)) over its largest value, which no number of models overflows."""
        normal = self._normal(deltas, (number, number))
        return normal.sub_(1.0).mul_(len(deltas)).exp_()

    def mutual(self, deltas: Deltas, pair: Pair) -> torch.Tensor:
        """Return exp(N(δᵢδⱼ))."""
        return self._normal(deltas, pair).exp_()

    def _normal(self, deltas: Deltas, pair: Pair) -> torch.Tensor:
        low, high = self.ranges[pair]
        product = deltas[pair[0]] * deltas[pair[1]]
        return product.sub_(low).div_((high - low) or 1.0)  # what is the same everywhere becomes 0


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores βᵢ, in units of one over the number of entries squared.

    ``own`` and ``mutual`` are the means of the exponentials.
    """

    exponentials: Exponentials
    own: Sequence[float]
    mutual: Mapping[Pair, float]

    def __call__(self, deltas: Deltas, number: int) -> torch.Tensor:
        """Return one model's scores at each place; all are positive."""
        others = torch.zeros_like(deltas[number])
        for other in range(len(deltas)):
            pair = min(number, other), max(number, other)
            others.add_(self.exponentials.mutual(deltas, pair), alpha=1.0 / self.mutual[pair])
        return self.exponentials.own(deltas, number).mul_(1.0 / self.own[number]).mul_(others)


@dataclass(frozen=True, slots=True)
class Competition:
    """The scores, and the smallest of each model's that is kept."""

    scores: Scores
    thresholds: Sequence[float]

    def kept(self, deltas: Deltas, number: int) -> torch.Tensor:
        """Return one model's scores at each place, 0 where they are too small."""
        scores = self.scores(deltas, number)
        return scores.mul_(torch.ge(scores, self.thresholds[number], out=torch.empty_like(scores)))


def compete(tensors: Sequence[MergeTensor]) -> Competition:
    """Let the entries of all these tensors compete: two passes, and two more for each model."""
    models = len(tensors[0].origins)
    size = sum(tensor.size for tensor in tensors)
    count = min(size, max(1, int(tensors[0].params.density * size)))
    scores = _scores(tensors, Exponentials(_ranges(tensors)))

    def all_scores(number: int) -> Iterator[torch.Tensor]:
        return (scores(deltas, number) for deltas in _deltas(tensors))

    thresholds = [
        top_magnitudes(partial(all_scores, number), size, count).threshold
        for number in range(models)
    ]
    return Competition(scores, thresholds)


def _ranges(tensors: Sequence[MergeTensor]) -> dict[Pair, tuple[float, float]]:
    """Return the smallest and the largest product of each pair of models."""
    ranges = dict.fromkeys(_pairs(tensors), (math.inf, -math.inf))
    for deltas in _deltas(tensors):
        for (first, second), (low, high) in ranges.items():
            least, most = (deltas[first] * deltas[second]).aminmax()
            ranges[first, second] = min(low, least.item()), max(high, most.item())
    return ranges


def _scores(tensors: Sequence[MergeTensor], exponentials: Exponentials) -> Scores:
    size = sum(tensor.size for tensor in tensors)
    own = [0.0] * len(tensors[0].origins)
    mutual = dict.fromkeys(_pairs(tensors), 0.0)
    for deltas in _deltas(tensors):
        for number in range(len(own)):
            own[number] += _total(exponentials.own(deltas, number)) / size
        for pair in mutual:
            mutual[pair] += _total(exponentials.mutual(deltas, pair)) / size
    return Scores(exponentials, own, mutual)


def _total(values: torch.Tensor) -> float:
    return values.sum(dtype=torch.float64).item()


def _pairs(tensors: Sequence[MergeTensor]) -> Iterable[Pair]:
    return combinations_with_replacement(range(len(tensors[0].origins)), 2)


def _deltas(tensors: Sequence[MergeTensor]) -> Iterator[Deltas]:
    return (chunk.deltas for tensor in tensors for chunk in tensor.chunks())
