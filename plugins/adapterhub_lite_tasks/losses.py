"""Losses summed over a batch, in float32, and what their sums are divided by."""

from dataclasses import dataclass

import torch
from torch.nn import functional

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class SingleLabelLoss:
    """Cross-entropy, as ``torch.nn.CrossEntropyLoss``; ``weights`` (classes,) or None."""

    weights: Tensor | None = None
    smoothing: float = 0.0

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the sum over rows; ``logits`` (rows, classes), ``labels`` (rows,)."""
        return functional.cross_entropy(
            logits.float(),
            labels,
            weight=None if self.weights is None else self.weights.to(logits.device),
            label_smoothing=self.smoothing,
            reduction="sum",
        )

    def units(self, labels: Tensor) -> Tensor:
        """Return the number of rows, or the sum of their weights, as torch's mean divides."""
        if self.weights is None:
            return torch.tensor(len(labels), device=labels.device)
        return self.weights.to(labels.device)[labels].sum()


@dataclass(frozen=True, slots=True)
class MultiLabelLoss:
    """Binary cross-entropy of every label, averaged over labels.

    ``weights`` (classes,) multiply the losses of labels that a row carries; torch's ``pos_weight``.
    """

    weights: Tensor | None = None
    smoothing: float = 0.0

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the sum over rows; both (rows, classes), labels 0 or 1."""
        targets = labels.float() * (1 - self.smoothing) + self.smoothing / 2
        loss = functional.binary_cross_entropy_with_logits(
            logits.float(),
            targets,
            pos_weight=None if self.weights is None else self.weights.to(logits.device),
            reduction="none",
        )
        return loss.mean(1).sum()

    def units(self, labels: Tensor) -> Tensor:
        """Return the number of rows."""
        return torch.tensor(len(labels), device=labels.device)


def balanced_weights(counts: Tensor) -> Tensor:
    """Return n / (k · count) for each of k classes, as scikit-learn's ``balanced``."""
    return counts.sum() / (len(counts) * counts.clamp(min=1))


def positive_weights(counts: Tensor, rows: int) -> Tensor:
    """Return for each label how many rows lack it for each row that carries it."""
    return (rows - counts).clamp(min=1) / counts.clamp(min=1)
