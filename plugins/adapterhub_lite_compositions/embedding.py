"""Texts as the base alone sees them: one embedding each, whatever adapters there are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adapterhub_lite.data.batching import batches_by_length
from adapterhub_lite.errors import BaseModelError, NonFiniteError
from adapterhub_lite.pooling import Pooling, read_pooling
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.transformer import positions

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TextEmbedder:
    """A bare transformer whose token embeddings are pooled; texts are cut at ``max_length``."""

    base: LoadedBase
    pooling: Pooling
    max_length: int

    @property
    def width(self) -> int:
        """The length of an embedding."""
        return int(self.base.model.config.hidden_size)

    def embed(self, texts: Sequence[str]) -> Floats:
        """Return embeddings (texts, width) of unit length; of a text without tokens zeros.

        Raises NonFiniteError for a base that computes no numbers.
        """
        limit = positions(self.base.model)
        most = self.max_length if limit is None else min(limit, self.max_length)
        encoded = self.base.tokenizer(list(texts), truncation=True, max_length=most)
        rows: list[list[int]] = encoded["input_ids"]
        found = np.zeros((len(rows), self.width))
        with torch.inference_mode():
            for batch in _batches(rows):
                found[batch] = self._pooled([rows[number] for number in batch])
        if not np.isfinite(found).all():
            raise NonFiniteError("the base's embeddings are not finite", step=-1)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        unit: Floats = np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0)
        return unit

    def _pooled(self, rows: Sequence[Sequence[int]]) -> Floats:
        tokenizer, model = self.base.tokenizer, self.base.model
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), tokenizer.pad_token_id or 0)
        mask = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
            mask[number, : len(row)] = 1
        ids, mask = ids.to(model.device), mask.to(model.device)
        reader: Any = model.get_encoder() if model.config.is_encoder_decoder else model
        hidden = reader(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled: Floats = self.pooling(hidden.float(), mask).double().cpu().numpy()
        return pooled


def pooling_of(folder: Path) -> Pooling:
    """Return the pooling that a base's folder says, where it says one that is known, or the mean.

    Any embedding will do to tell texts apart, as long as it stays the same.
    """
    try:
        found = read_pooling(folder)
    except (BaseModelError, OSError, ValueError, KeyError, TypeError):
        found = Pooling()
    return replace(found, normalise=True)


def _batches(rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield the numbers of rows that have tokens, in batches of similar length."""
    numbers = [number for number, row in enumerate(rows) if row]
    for batch in batches_by_length([len(rows[number]) for number in numbers]):
        yield [numbers[place] for place in batch]
