"""Answer many features: batched by length, in the order given, without gradient."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from adapterhub_lite.data.batching import BATCH_TOKENS, batches_by_length
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite_tasks.inputs import device_of

Progress = Callable[[int], None] | None
Batch = Mapping[str, torch.Tensor]


@contextmanager
def answering(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode without gradient, and back into its mode afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def answer(
    model: nn.Module,
    features: Sequence[Feature],
    collate: Callable[[Sequence[Feature]], Batch],
    read: Callable[[nn.Module, Batch], torch.Tensor],
    progress: Progress = None,
    budget: int = BATCH_TOKENS,
) -> list[NDArray[np.float64]]:
    """Return what ``read`` makes of each feature, its first axis the batch's, in their order.

    ``progress`` gets the number of features done.
    """
    answers: list[Any] = [None] * len(features)
    done = 0
    with answering(model):
        for numbers in batches_by_length([f["length"] for f in features], budget):
            batch = collate([features[i] for i in numbers])
            batch = {name: tensor.to(device_of(model)) for name, tensor in batch.items()}
            found = read(model, batch).double().cpu().numpy()
            for number, row in zip(numbers, found, strict=True):
                answers[number] = row
            done += len(numbers)
            if progress:
                progress(done)
    return answers


def objects(values: Sequence[Any]) -> NDArray[np.object_]:
    """Return an array of Python objects, one an entry, whatever they are."""
    array = np.empty(len(values), dtype=object)
    for number, value in enumerate(values):
        array[number] = value
    return array
