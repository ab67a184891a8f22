"""Scorers of one pass: alone, or with rows of other adapters on the same base."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import nn

from adapterhub_lite.data.batching import batches_by_length
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite.predictions import Prediction
from adapterhub_lite.protocols import Part
from adapterhub_lite_tasks.batching import answering
from adapterhub_lite_tasks.inputs import call, device_of

Batch = Mapping[str, torch.Tensor]
Found = list[Any]
Rows = Callable[[Sequence[int]], nn.Module]
"""Returns the model of a batch, told the number of a part for each of its rows."""


class OnePass:
    """A scorer that reads what it answers off one pass; a subclass says how.

    Implements :class:`~adapterhub_lite.protocols.MixedScorer`.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, in the order of the outputs; empty for tasks without."""
        raise NotImplementedError

    def features(self, inputs: Sequence[Any]) -> list[Feature]:
        """Tokenise inputs; a feature has a ``length``."""
        raise NotImplementedError

    def collate(self, features: Sequence[Feature]) -> Batch:
        """Pad features to a batch."""
        raise NotImplementedError

    def read(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return what is needed of the model's output, its first axis the batch's."""
        raise NotImplementedError

    def answers(
        self, inputs: Sequence[Any], features: Sequence[Feature], found: Found
    ) -> list[Prediction]:
        """Return the predictions of ``inputs`` from what was read for their features."""
        raise NotImplementedError

    def predict_mixed(self, parts: Sequence[Part], rows: Rows) -> list[list[Prediction]]:
        """Answer each part as its scorer does alone, all in the same passes."""
        scorers: list[OnePass] = [part.scorer for part in parts]
        features = [part.scorer.features(part.inputs) for part in parts]
        found = _read_mixed(scorers, features, rows)
        return [
            scorer.answers(part.inputs, own, read)
            for scorer, part, own, read in zip(scorers, parts, features, found, strict=True)
        ]


class _Given(nn.Module):
    """Stands for a model that was called already: gives what it put out for some of the rows."""

    def __init__(self, output: Any, rows: slice, outputs: int) -> None:
        super().__init__()
        self._output = {
            name: value[rows] for name, value in output.items() if torch.is_tensor(value)
        }
        if outputs:
            # filled up to the widest head in the batch
            self._output["logits"] = self._output["logits"][..., :outputs]
        self._type = type(output)

    def forward(self, **inputs: Any) -> Any:
        """Return the output."""
        return self._type(**self._output)


def _read_mixed(
    scorers: Sequence[OnePass], features: Sequence[Sequence[Feature]], rows: Rows
) -> list[Found]:
    """Return for each part what its scorer reads of each feature."""
    flat = [(part, place) for part, own in enumerate(features) for place in range(len(own))]
    lengths = [features[part][place]["length"] for part, place in flat]
    found: list[Found] = [[None] * len(own) for own in features]
    for numbers in batches_by_length(lengths):
        chosen = sorted(flat[number] for number in numbers)  # an adapter's rows side by side
        model = rows([part for part, _ in chosen])
        with answering(model):
            batch = scorers[0].collate([features[part][place] for part, place in chosen])
            batch = {name: tensor.to(device_of(model)) for name, tensor in batch.items()}
            output = call(model, batch)
            for rows_of, part in _runs(chosen):
                scorer = scorers[part]
                given = _Given(output, rows_of, len(scorer.classes))
                own = {name: tensor[rows_of] for name, tensor in batch.items()}
                read = scorer.read(given, own).double().cpu().numpy()
                for (_, place), value in zip(chosen[rows_of], read, strict=True):
                    found[part][place] = value
    return found


def _runs(chosen: Sequence[tuple[int, int]]) -> Iterator[tuple[slice, int]]:
    """Yield the rows of each part, which lie side by side, and its number."""
    first = 0
    for part, own in groupby(chosen, key=lambda one: one[0]):
        last = first + len(list(own))
        yield slice(first, last), part
        first = last
