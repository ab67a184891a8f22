"""Sentence embeddings: texts of one meaning lie close."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import nn

from adapterhub_lite.data.examples import SimilarTexts
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import IntegrityError
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite.finetuning.loop import fit
from adapterhub_lite.pooling import Pooling, read_pooling, write_pooling
from adapterhub_lite.predictions import Embedded, Prediction
from adapterhub_lite.protocols import Attached, LoadedBase, Outcome, Run, TrainingData
from adapterhub_lite.scoring import Scored
from adapterhub_lite.specs import Head
from adapterhub_lite_tasks.batching import answer
from adapterhub_lite_tasks.common import items_of, outcome_of
from adapterhub_lite_tasks.contrast import cosent, in_batch_negatives, squared_cosine_error
from adapterhub_lite_tasks.inputs import (
    Base,
    TextEncoder,
    call,
    inner_model,
    is_decoder,
    pad_inputs,
    text_encoder,
)
from adapterhub_lite_tasks.mixing import Found, OnePass
from adapterhub_lite_tasks.params import EmbeddingParams
from adapterhub_lite_tasks.settings import EmbeddingSettings, read_settings, write_settings

Batch = Mapping[str, torch.Tensor]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Embedder(OnePass):
    """A bare transformer whose token embeddings are pooled to one of unit length."""

    model: nn.Module
    encoder: TextEncoder
    pooling: Pooling

    @property
    def classes(self) -> tuple[str, ...]:
        """None."""
        return ()

    def embed(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> Floats:
        """Return embeddings (texts, width)."""
        found = answer(self.model, self.features(texts), self.collate, self.read, progress)
        return self._table(found)

    def features(self, inputs: Sequence[str]) -> list[Feature]:
        """Tokenise texts."""
        return self.encoder.encode(inputs)

    def read(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return embeddings (texts, width)."""
        return self.forward(model, batch)

    def answers(
        self, inputs: Sequence[Any], features: Sequence[Feature], found: Found
    ) -> list[Prediction]:
        """Return the embedding of each text."""
        return _embedded(inputs, features, self._table(found))

    def _table(self, found: Found) -> Floats:
        width = int(inner_model(self.model).config.hidden_size)
        return np.array(found).reshape(len(found), width)

    def forward(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return (texts, width), in float32 and with gradient where weights learn."""
        hidden = call(model, batch).last_hidden_state
        own = hidden[:, -batch["input_ids"].shape[1] :].float()
        return self.pooling(own, batch["attention_mask"])

    def collate(self, features: Sequence[Feature]) -> Batch:
        """Pad features to a batch."""
        return pad_inputs(features, self.encoder.pad)

    def cosines(
        self, pairs: Sequence[tuple[str, str]], progress: Callable[[int], None] | None = None
    ) -> Floats:
        """Return the cosine of each pair (pairs,)."""
        halved = None if progress is None else lambda done: progress(done // 2)
        both = self.embed([text for pair in pairs for text in pair], halved)
        return np.asarray((both[0::2] * both[1::2]).sum(1))

    def score(self, rows: RowSet, progress: Callable[[int], None] | None = None) -> Scored:
        """Return how similar pairs are, their cosines (rows,), and these as (rows, 1)."""
        truth = np.array([item.truth for item in items_of(rows, SimilarTexts)], dtype=np.float64)
        found = self.cosines(rows.inputs, progress)
        return Scored(truth, found, found[:, None])

    def predict(
        self, inputs: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> list[Prediction]:
        """Return the embedding of each text."""
        features = self.features(inputs)
        found = answer(self.model, features, self.collate, self.read, progress)
        return self.answers(inputs, features, found)


def _embedded(
    texts: Sequence[str], features: Sequence[Feature], vectors: Floats
) -> list[Prediction]:
    return [
        Embedded(text, tuple(map(float, vector)), len(feature["input_ids"]))
        for text, feature, vector in zip(texts, features, vectors, strict=True)
    ]


@dataclass(frozen=True)
class EmbeddingLearner:
    """Features, batches and loss of embeddings; ``loss_name`` is one of the params', not "auto"."""

    scorer: Embedder
    loss_name: str
    temperature: float
    run: Run | None = None

    @property
    def separable(self) -> bool:
        """Only the squared error: with the others rows are compared with each other."""
        return self.loss_name == "cosine"

    def features(self, rows: RowSet) -> list[Feature]:
        """Tokenise each row's two or three ``texts``."""
        items = items_of(rows, SimilarTexts)
        texts = [_texts(item) for item in items]
        flat = self.scorer.encoder.encode([text for row in texts for text in row], self.run)
        found = iter(flat)
        features: list[Feature] = []
        for row, item in enumerate(items):
            own = [next(found) for _ in texts[row]]
            length = max(feature["length"] for feature in own)
            value = item.truth
            features.append({"texts": own, "value": value, "length": length, "row": row})
        return features

    def collate(self, features: Sequence[Feature]) -> Batch:
        """Pad anchors, then positives, then what negatives there are, to one batch.

        ``values`` are (rows,); ``same`` marks candidates of the same text as a row's positive.
        """
        columns = [[f["texts"][n] for f in features if len(f["texts"]) > n] for n in range(3)]
        candidates = [feature["input_ids"] for column in columns[1:] for feature in column]
        same = [[ids == own["input_ids"] for ids in candidates] for own in columns[1]]
        return {
            **self.scorer.collate([feature for column in columns for feature in column]),
            "values": torch.tensor([f["value"] for f in features], dtype=torch.float32),
            "same": torch.tensor(same),
        }

    def units(self, batch: Batch) -> torch.Tensor:
        """Return the number of rows."""
        return torch.tensor(len(batch["values"]))

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the loss, summed over rows; CoSENT is one number a batch, times its rows."""
        rows = len(batch["values"])
        embedded = torch.nn.functional.normalize(self.scorer.forward(model, batch), dim=-1)
        anchors, positives, negatives = embedded.tensor_split([rows, 2 * rows])
        if self.loss_name == "in-batch-negatives":
            return in_batch_negatives(
                anchors, positives, negatives, batch["same"], self.temperature
            )
        cosines = (anchors * positives).sum(1)
        if self.loss_name == "cosent":
            return cosent(cosines, batch["values"], self.temperature) * rows
        return squared_cosine_error(cosines, batch["values"])

    def validate(self, model: nn.Module, rows: RowSet) -> Mapping[str, float]:
        """Return Spearman's correlation where rows have values, else the accuracy of retrieval.

        That is the share of anchors whose nearest text among all positives is their own.
        """
        scorer = replace(self.scorer, model=model)
        items = items_of(rows, SimilarTexts)
        if all(item.value is not None for item in items):
            scored = scorer.score(rows)
            constant = min(np.ptp(scored.truth), np.ptp(scored.decision)) == 0
            return {
                "spearman": 0.0
                if constant
                else float(spearmanr(scored.truth, scored.decision).statistic)
            }
        anchors = scorer.embed([item.anchor for item in items])
        positives = scorer.embed([item.positive for item in items])
        cosines = anchors @ positives.T
        own = np.diagonal(cosines)
        # Nearest but for itself and its twins: rows may share a positive.
        return {"retrieval_accuracy": float((own >= cosines.max(1) - 1e-9).mean())}


def _texts(item: SimilarTexts) -> list[str]:
    texts = [item.anchor, item.positive]
    return texts if item.negative is None else [*texts, item.negative]


class Embedding:
    """Trains embeddings on pairs, triplets, or pairs with a value."""

    def check(self, rows: RowSet, params: EmbeddingParams) -> Sequence[str]:
        """Refuse rows with which the loss has nothing to compare."""
        items = items_of(rows, SimilarTexts)
        valued = sum(item.value is not None for item in items)
        if len(items) < 2:
            return ["embeddings need at least two rows"]
        if 0 < valued < len(items):
            return [f"{valued} of {len(items)} rows have a value: give all of them one, or none"]
        wants_values = params.loss in ("cosent", "cosine")
        if wants_values and not valued:
            return [f"the loss {params.loss} needs rows with values"]
        if params.loss == "in-batch-negatives" and valued:
            return ["rows with values are no positives; take the loss cosent"]
        if valued and len({item.value for item in items}) < 2 and params.loss != "cosine":
            return ["all values are the same: there is nothing to order"]
        return []

    def head(self, rows: RowSet, params: EmbeddingParams) -> Head:
        """Return no head: the bare transformer."""
        return Head()

    def fit(
        self, attached: Attached, data: TrainingData, params: EmbeddingParams, run: Run
    ) -> Outcome:
        """Train on the shared loop, with the base's own pooling where it says one."""
        items = items_of(data.train, SimilarTexts)
        name: str = params.loss
        if name == "auto":
            name = "in-batch-negatives" if items[0].value is None else "cosent"
        pooling = _pooling(attached)
        scorer = Embedder(attached.model, _encoder(attached, params.max_length), pooling)
        learner = EmbeddingLearner(scorer, name, params.contrast_temperature, run)
        fitted = fit(attached, learner, data, params, run)
        return outcome_of(scorer, fitted, loss=name, pooling=pooling.mode)

    def save(self, outcome: Outcome, folder: Path) -> None:
        """Write ``task.json``, and modules for sentence-transformers."""
        scorer = outcome.scorer
        assert isinstance(scorer, Embedder), "an objective saves what it fitted"
        width = int(inner_model(scorer.model).config.hidden_size)
        write_pooling(scorer.pooling, width, folder)
        write_settings(folder, EmbeddingSettings(max_length=scorer.encoder.max_length))

    def load(self, base: LoadedBase, folder: Path) -> Embedder:
        """Rebuild the embedder; raises IntegrityError when its files are nonsense."""
        settings = read_settings(folder, EmbeddingSettings)
        try:
            pooling = read_pooling(folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"the pooling in {folder} does not parse: {error}") from error
        return Embedder(base.model, _encoder(base, settings.max_length), pooling)

    def adopt(self, base: LoadedBase, params: EmbeddingParams) -> Embedder:
        """Return the embedder of a model that was trained elsewhere, with its base's pooling."""
        return Embedder(base.model, _encoder(base, params.max_length), _pooling(base))


def _encoder(base: Base, max_length: int) -> TextEncoder:
    """Return an encoder of single texts: they have one token type, which virtual tokens lack."""
    return replace(text_encoder(base, max_length), segments=False)


def _pooling(base: Base) -> Pooling:
    """Return a base's own pooling; without one the mean, or of a decoder the last token's."""
    if (base.path / "modules.json").is_file():
        return replace(read_pooling(base.path), normalise=True)
    return Pooling("lasttoken" if is_decoder(inner_model(base.model).config) else "mean")
