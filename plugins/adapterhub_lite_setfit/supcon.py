"""The supervised contrastive loss, and the batches it learns from."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

SMALLEST_BATCH = 16
NEIGHBOURS = 7
"""How many classes a class brings into a batch; of 77 intents it gained 0.2 points over none."""


def label_overlap(labels: torch.Tensor) -> torch.Tensor:
    """Return how much two rows' labels agree: (rows, rows), Jaccard of the label sets.

    ``labels`` is one-hot or multi-hot, (rows, classes). For one label a row this is 1 within a
    class and 0 across; two rows without any label agree.
    """
    shared = labels @ labels.T
    counts = labels.sum(1)
    union = counts[:, None] + counts[None, :] - shared
    return torch.where(union > 0, shared / union.clamp(min=1), 1.0)


def supervised_contrastive_loss(
    embeddings: torch.Tensor, overlap: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Compute the mean over anchors of the negative log-probability of their positives.

    ``embeddings`` (rows, width) are scaled to length 1 here; ``overlap`` (rows, rows) weighs the
    positives. An anchor without a positive (a class with one row in the batch) is left out, and a
    batch of such anchors gives 0 with a gradient of 0, never NaN. Khosla et al. 2020,
    https://arxiv.org/abs/2004.11362, equation 2.
    """
    unit = torch.nn.functional.normalize(embeddings, dim=-1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    similarity = (unit @ unit.T / temperature).masked_fill(itself, float("-inf"))
    # The diagonal's log-probability is -inf; as 0 x -inf is NaN, it is set to 0 before weighing.
    log_probability = similarity.log_softmax(dim=1).masked_fill(itself, 0.0)
    positives = overlap.masked_fill(itself, 0.0)
    mass = positives.sum(1)
    anchors = mass > 0
    if not anchors.any():
        return embeddings.sum() * 0.0
    return -((positives * log_probability).sum(1)[anchors] / mass[anchors]).mean()


def class_balanced_batches(
    labels: Sequence[tuple[str, ...]],
    batch_size: int,
    rng: np.random.Generator,
    embeddings: NDArray[np.float64] | None = None,
) -> Iterator[list[int]]:
    """Yield batches of row numbers for ever, each with as many rows of one class as of another.

    Two rows of each class make a batch, for as many classes as go into ``batch_size``; more rows
    of each where there are too few classes for a batch of 16. A class with fewer rows gives all it
    has. Classes take turns, so none is left out for long; a row without labels belongs to a class
    of its own kind. A multi-label row is drawn by any of its labels, once a batch. With
    ``embeddings`` (rows, width), a class whose turn it is brings its nearest classes along: to be
    told apart they have to meet.
    """
    members = _members(labels)
    per_class = max(2, SMALLEST_BATCH // len(members))
    per_batch = max(1, min(len(members), batch_size // per_class))
    nearest = _nearest(members, embeddings) if embeddings is not None else {}
    queue: list[str] = []
    while True:
        drawn: dict[str, None] = {}
        while len(drawn) < per_batch:
            queue = queue or [str(name) for name in rng.permutation(sorted(members))]
            name = queue.pop(0)
            drawn |= dict.fromkeys([name, *nearest.get(name, ())])
        batch: dict[int, None] = {}
        for name in list(drawn)[:per_batch]:
            rows = members[name]
            chosen = rng.choice(rows, size=min(per_class, len(rows)), replace=False)
            batch |= dict.fromkeys(int(row) for row in chosen)
        yield list(batch)


def _nearest(
    members: Mapping[str, Sequence[int]], embeddings: NDArray[np.float64]
) -> dict[str, list[str]]:
    """Return each class's nearest classes, by the cosine of their mean embeddings."""
    names = sorted(members)
    means = np.stack([embeddings[members[name]].mean(0) for name in names])
    means /= np.linalg.norm(means, axis=1, keepdims=True).clip(min=1e-12)
    order = np.argsort(-(means @ means.T), axis=1, kind="stable")
    return {
        name: [names[i] for i in row if names[i] != name][:NEIGHBOURS]
        for name, row in zip(names, order, strict=True)
    }


def _members(labels: Sequence[tuple[str, ...]]) -> dict[str, list[int]]:
    members: dict[str, list[int]] = {}
    for row, names in enumerate(labels):
        for name in names or ("",):
            members.setdefault(name, []).append(row)
    return members
