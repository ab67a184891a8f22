"""Texts to embeddings: tokenise once, batch by length, pool."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adapterhub_lite.data.batching import batches_by_length
from adapterhub_lite.pooling import Pooling
from adapterhub_lite.protocols import Attached, LoadedBase, Run
from adapterhub_lite.transformer import positions

Tokens = list[int]


@dataclass(slots=True)
class Encoder:
    """A transformer with its tokenizer and pooling; ``penalty`` is as that of ``Attached``."""

    model: torch.nn.Module
    tokenizer: Any
    pooling: Pooling
    max_length: int
    penalty: Callable[[], torch.Tensor] | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        weight: torch.Tensor = next(self.model.parameters())
        return weight.device

    @property
    def width(self) -> int:
        """The length of an embedding."""
        config: Any = self.model.config
        return int(config.hidden_size)

    def tokenise(self, texts: Sequence[str]) -> list[Tokens]:
        """Turn texts into token ids, cut at ``max_length``."""
        if not texts:
            return []
        encoded = self.tokenizer(
            list(texts), truncation=True, max_length=self.max_length, return_attention_mask=False
        )
        return [list(ids) for ids in encoded["input_ids"]]

    def pad(self, rows: Sequence[Tokens]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and mask, both (rows, longest), padded on the right."""
        longest = max(len(row) for row in rows)
        ids = torch.full((len(rows), longest), self.tokenizer.pad_token_id or 0)
        mask = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
            mask[number, : len(row)] = 1
        return ids.to(self.device), mask.to(self.device)

    def forward(self, rows: Sequence[Tokens]) -> torch.Tensor:
        """Run the transformer and pool: (rows, width), with gradient where weights learn."""
        ids, mask = self.pad(rows)
        hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.pooling(hidden, mask)

    def embed(
        self, rows: Sequence[Tokens], progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float64]:
        """Embed tokenised rows without gradient: (rows, width), in the order given."""
        out = np.empty((len(rows), self.width))
        done = 0
        with torch.inference_mode():
            for batch in batches_by_length([*map(len, rows)]):
                out[batch] = self.forward([rows[i] for i in batch]).cpu().numpy()
                done += len(batch)
                if progress:
                    progress(done)
        return out


def make_encoder(base: LoadedBase | Attached, pooling: Pooling, max_length: int) -> Encoder:
    """Return the encoder of a transformer, its texts no longer than its positions allow."""
    most = positions(base.model)
    length = min(max_length, most) if most else max_length
    penalty = base.penalty if isinstance(base, Attached) else None
    return Encoder(base.model, base.tokenizer, pooling, length, penalty)


def report_cut_texts(rows: Sequence[Tokens], max_length: int, run: Run) -> None:
    """Say how many texts fill ``max_length``: what lies beyond it is not seen."""
    full = sum(len(row) >= max_length for row in rows)
    if full:
        run.emit("texts-cut", count=full, of=len(rows), max_length=max_length)
