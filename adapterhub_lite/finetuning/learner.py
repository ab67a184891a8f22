"""What a task has to say for the shared training loop to train it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from adapterhub_lite.data.table import RowSet

if TYPE_CHECKING:
    import torch
    from torch import nn

    Batch = Mapping[str, torch.Tensor]

Feature = Mapping[str, Any]
"""One training item, tokenised: lists of numbers by name."""


class Learner(Protocol):
    """A task's features, batches and loss; the loop owns everything else."""

    @property
    def separable(self) -> bool:
        """Whether a row's loss is its own: false where rows of a batch are each other's negatives.

        Only then does gradient accumulation equal the big batch, so it is refused elsewhere.
        """

    def features(self, rows: RowSet) -> list[Feature]:
        """Tokenise rows; ``length`` counts a feature's tokens, ``row`` is the row it came from.

        A row may give several features (windows of a long context) or share one (packing); for a
        packed feature ``row`` is that of its first row.
        """

    def collate(self, features: Sequence[Feature]) -> Batch:
        """Pad features to one batch."""

    def units(self, batch: Batch) -> torch.Tensor:
        """Return how much the batch counts, a scalar: rows, tagged words, completion tokens.

        The loss is averaged over these, also across the micro-batches of an accumulated step.
        """

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Run the model; return the loss *summed* over the batch's units, a scalar in float32."""

    def validate(self, model: nn.Module, rows: RowSet) -> Mapping[str, float]:
        """Score rows in evaluation mode; the first entry decides, and greater is better."""
