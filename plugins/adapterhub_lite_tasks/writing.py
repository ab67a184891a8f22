"""What the objectives that write text have in common: scorer and learner."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite.predictions import Generated, Prediction
from adapterhub_lite.protocols import GenerationOptions, Part
from adapterhub_lite.scoring import Scored
from adapterhub_lite_tasks.batching import objects
from adapterhub_lite_tasks.generation import Finished, generate
from adapterhub_lite_tasks.likelihood import (
    Batch,
    Likelihood,
    count_learnt,
    per_token,
    summed_loss,
)
from adapterhub_lite_tasks.settings import GenerationSettings, Settings
from adapterhub_lite_tasks.streaming import stream
from adapterhub_lite_tasks.wanted import Wanted, wanted


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

    @property
    def chats(self) -> bool:
        """Whether questions are messages."""

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
            texts = [one.text for one in self._written(rows.inputs, self._places(len(rows)), None)]
        return Scored(objects(self.format.references(rows)), objects(texts), scores)

    def predict(
        self, inputs: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> list[Prediction]:
        """Write a text for each input; sampling is seeded by its place among them."""
        return _generated(inputs, self._written(inputs, self._places(len(inputs)), progress))

    def write(
        self,
        inputs: Sequence[Any],
        options: Sequence[GenerationOptions | None],
        progress: Callable[[int], None] | None = None,
    ) -> list[Prediction]:
        """Write a text for each input, by its own options and as if it were asked alone."""
        rows = [self._wanted(own) for own in options]
        return _generated(inputs, self._written(inputs, rows, progress))

    def stream(
        self, asked: Any, options: GenerationOptions | None
    ) -> Generator[str, None, Generated]:
        """Yield the pieces of a text as they are made, and return the whole.

        Raises CapabilityError for a version that searches with beams: it decides at the end.
        """
        if self.format.generation.num_beams > 1:
            raise CapabilityError(
                "a search with beams has no text before its end", hint="ask for the whole text"
            )
        row, prompt = self._wanted(options), self.format.prompt(asked)
        return _whole(asked, stream(self.model, prompt, row, self.format.pad, self._decode))

    def predict_mixed(
        self, parts: Sequence[Part], rows: Callable[[Sequence[int]], nn.Module]
    ) -> list[list[Prediction]]:
        """Write each part's texts as its scorer does alone, all in the same passes.

        Searches with beams are done part by part.
        """
        writers: list[Writer] = [part.scorer for part in parts]
        if any(writer.format.generation.num_beams > 1 for writer in writers):
            return [part.scorer.write(part.inputs, part.options) for part in parts]
        owners = [number for number, part in enumerate(parts) for _ in part.inputs]
        written = generate(
            self.model,
            [w.format.prompt(one) for w, p in zip(writers, parts, strict=True) for one in p.inputs],
            [w._wanted(own) for w, p in zip(writers, parts, strict=True) for own in p.options],
            self.format.pad,
            self._decode,
            model_of=lambda numbers: rows([owners[number] for number in numbers]),
        )
        found = iter(written)
        return [_generated(part.inputs, [next(found) for _ in part.inputs]) for part in parts]

    @property
    def chats(self) -> bool:
        """Whether it learnt to answer messages."""
        return self.format.chats

    def _wanted(self, options: GenerationOptions | None) -> Wanted:
        settings = self.format.generation
        row = wanted(settings, options)
        if settings.num_beams > 1 and (row.temperature > 0 or row.stop):
            raise CapabilityError(
                "this version searches with beams, which takes no temperature and no stop texts",
                hint="leave them out",
            )
        return row

    def _places(self, count: int) -> list[Wanted]:
        """Return the version's own settings, seeded by each row's place."""
        row = self._wanted(None)
        return [replace(row, seed=row.seed + place) for place in range(count)]

    def _written(
        self,
        inputs: Sequence[Any],
        rows: Sequence[Wanted],
        progress: Callable[[int], None] | None,
    ) -> list[Finished]:
        prompts = [self.format.prompt(asked) for asked in inputs]
        beams = self.format.generation.num_beams
        return generate(
            self.model,
            prompts,
            rows,
            self.format.pad,
            self._decode,
            beams=beams,
            progress=progress,
        )

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self.format.tokenizer.decode(ids, skip_special_tokens=True)
        return text


def _whole(asked: Any, pieces: Generator[str, None, Finished]) -> Generator[str, None, Generated]:
    one = yield from pieces
    return Generated(asked, one.text, one.finish, one.read, one.written)


def _generated(inputs: Sequence[Any], written: Sequence[Finished]) -> list[Prediction]:
    return [
        Generated(asked, one.text, one.finish, one.read, one.written)
        for asked, one in zip(inputs, written, strict=True)
    ]


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
