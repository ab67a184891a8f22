"""What the objectives that write text have in common: scorer and learner."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from adapterhub_lite.data.table import RowSet
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite.predictions import Generated, Prediction
from adapterhub_lite.scoring import Scored
from adapterhub_lite_tasks.batching import objects
from adapterhub_lite_tasks.generation import generate
from adapterhub_lite_tasks.likelihood import (
    Batch,
    Likelihood,
    count_learnt,
    per_token,
    summed_loss,
)
from adapterhub_lite_tasks.settings import GenerationSettings, Settings


class Format(Protocol):
    """How an objective writes rows and questions as tokens."""

    @property
    def tokenizer(self) -> Any:
        """The tokenizer."""

    @property
    def settings(self) -> Settings:
        """What a version keeps."""

    @property
    def generation(self) -> GenerationSettings:
        """How text is generated."""

    @property
    def pad(self) -> int:
        """The padding token."""

    def examples(self, rows: RowSet) -> list[Feature]:
        """Return features with ``labels``, to score; a row may have several."""

    def prompt(self, asked: Any) -> list[int]:
        """Return the tokens that a model goes on from."""

    def references(self, rows: RowSet) -> list[str]:
        """Return each row's right text."""

    def collate(self, features: Sequence[Feature]) -> Batch:
        """Pad features to a batch."""


@dataclass(frozen=True)
class Writer:
    """A model that writes text; ``generates`` says whether scoring also generates."""

    model: nn.Module
    format: Format
    generates: bool

    @property
    def classes(self) -> tuple[str, ...]:
        """None."""
        return ()

    def likelihood(
        self, rows: RowSet, progress: Callable[[int], None] | None = None
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return (rows, 2): the references' negative log-likelihoods in nats, and their tokens."""
        score = Likelihood(self.model, self.format.collate)
        return score(self.format.examples(rows), len(rows), progress)

    def score(self, rows: RowSet, progress: Callable[[int], None] | None = None) -> Scored:
        """Return references, generated texts or None, and the references' likelihoods."""
        scores = self.likelihood(rows, progress)
        texts: list[str | None] = [None] * len(rows)
        if self.generates:
            texts = [text for text, _ in self._written(rows.inputs, None)]
        return Scored(objects(self.format.references(rows)), objects(texts), scores)

    def predict(
        self, inputs: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> list[Prediction]:
        """Write a text for each input."""
        written = self._written(inputs, progress)
        return [
            Generated(asked, text, finish)
            for asked, (text, finish) in zip(inputs, written, strict=True)
        ]

    def _written(
        self, inputs: Sequence[Any], progress: Callable[[int], None] | None
    ) -> list[tuple[str, str]]:
        prompts = [self.format.prompt(asked) for asked in inputs]
        found = generate(self.model, prompts, self.format.generation, self.format.pad, progress)
        decode = self.format.tokenizer.decode
        return [(decode(ids, skip_special_tokens=True), finish) for ids, finish in found]


@dataclass(frozen=True)
class WritingLearner:
    """Features, batches and loss of a language model; the unit is a token that is learnt."""

    scorer: Writer
    encode: Callable[[RowSet], list[Feature]]
    collated: Callable[[Sequence[Feature]], Batch]
    smoothing: float = 0.0
    separable: bool = True

    def features(self, rows: RowSet) -> list[Feature]:
        """Tokenise rows as the objective says."""
        return self.encode(rows)

    def collate(self, features: Sequence[Feature]) -> Batch:
        """Pad features to a batch with ``labels``."""
        return self.collated(features)

    def units(self, batch: Batch) -> torch.Tensor:
        """Return the number of tokens that are learnt."""
        return count_learnt(batch)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the cross-entropy summed over them."""
        return summed_loss(model, batch, self.smoothing)

    def validate(self, model: nn.Module, rows: RowSet) -> Mapping[str, float]:
        """Return the mean log-likelihood a token, and the perplexity."""
        return per_token(replace(self.scorer, model=model).likelihood(rows))
