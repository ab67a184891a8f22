"""The contrastive training loop over the top of an encoder."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from adapterhub_lite.data.batching import batches_by_length
from adapterhub_lite.errors import NonFiniteError
from adapterhub_lite_setfit import ContrastiveParams
from adapterhub_lite_setfit.prefix_cache import PrefixCache
from adapterhub_lite_setfit.supcon import (
    class_balanced_batches,
    label_overlap,
    supervised_contrastive_loss,
)

Labels = Sequence[tuple[str, ...]]

MICRO_BATCH_TOKENS = 256
"""Texts of one length go through together: the loss needs all embeddings at once, not the pass."""
WARM_UP = 0.1
"""The share of steps over which the learning rate rises."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The rows a training may draw from: numbers into the cache, and their labels."""

    rows: Sequence[int]
    labels: Labels


def can_train(labels: Labels) -> bool:
    """Say whether any two rows share a label: without a positive pair there is nothing to learn."""
    seen: set[str] = set()
    for names in labels:
        if seen.intersection(names):
            return True
        seen.update(names)
    return False


def tune(
    cache: PrefixCache,
    data: TrainingSet,
    params: ContrastiveParams,
    seed: int,
    stop_at: int,
    on_step: Callable[[int, float], None],
) -> None:
    """Train what requires a gradient, in place, for ``stop_at`` of ``params.steps`` steps.

    The learning rate follows the schedule of ``params.steps``, so that a run that stops early is
    the beginning of the full run. ``on_step(step, loss)`` is called after each step.
    Raises NonFiniteError when the loss is not finite.
    """
    model = cache.encoder.model
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(
        weights, lr=params.learning_rate, weight_decay=params.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _warm_up_then_linear(params.steps))
    torch.manual_seed(seed)
    embeddings = cache.embeddings[list(data.rows)]
    rng = np.random.default_rng(seed)
    batches = class_balanced_batches(data.labels, params.batch_size, rng, embeddings)
    model.train()
    try:
        for step, batch in zip(range(1, stop_at + 1), batches, strict=False):
            loss = _loss(cache, data, batch, params.temperature)
            if not math.isfinite(loss.item()):
                raise NonFiniteError(
                    f"the loss became {loss.item()} at step {step}",
                    step=step,
                    hint="lower objective.learning_rate",
                )
            optimiser.zero_grad()
            penalty = cache.encoder.penalty
            whole = loss + penalty() if penalty else loss
            whole.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
            schedule.step()
            on_step(step, loss.item())
    finally:
        model.eval()


def _warm_up_then_linear(steps: int) -> Callable[[int], float]:
    warm = max(1, round(WARM_UP * steps))
    return lambda step: min((step + 1) / warm, (steps - step) / max(1, steps - warm), 1.0)


def _loss(
    cache: PrefixCache, data: TrainingSet, batch: list[int], temperature: float
) -> torch.Tensor:
    lengths = [len(cache.rows[data.rows[i]]) for i in batch]
    order: list[int] = []
    parts: list[torch.Tensor] = []
    for micro in batches_by_length(lengths, MICRO_BATCH_TOKENS):
        order += [batch[i] for i in micro]
        parts.append(cache.forward([data.rows[batch[i]] for i in micro]))
    embeddings = torch.cat(parts)
    overlap = label_overlap(_multi_hot([data.labels[i] for i in order]).to(embeddings.device))
    return supervised_contrastive_loss(embeddings, overlap, temperature)


def _multi_hot(labels: Labels) -> torch.Tensor:
    classes = {name: i for i, name in enumerate(sorted({n for row in labels for n in row}))}
    hot = torch.zeros(len(labels), max(1, len(classes)))
    for row, names in enumerate(labels):
        for name in names:
            hot[row, classes[name]] = 1.0
    return hot


class Snapshot:
    """The trainable weights as they were, to start every fold from the same place."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self._weights = {
            name: weight.detach().clone()
            for name, weight in model.named_parameters()
            if weight.requires_grad
        }

    def restore(self) -> None:
        """Put the weights back."""
        with torch.no_grad():
            for name, weight in self._model.named_parameters():
                if name in self._weights:
                    weight.copy_(self._weights[name])

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Work with these weights for a while, and have the present ones back afterwards."""
        present = Snapshot(self._model)
        self.restore()
        try:
            yield
        finally:
            present.restore()


def checkpoints(steps: int, count: int = 2) -> Iterator[int]:
    """Yield the steps at which a validation scores the model: ``count`` of them, evenly."""
    yield from sorted({max(1, round(steps * i / count)) for i in range(1, count + 1)})
