"""Token classification: a tag for every word."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from adapterhub_lite.data.examples import TaggedWords
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite.finetuning.loop import fit
from adapterhub_lite.predictions import Prediction, Tagged
from adapterhub_lite.protocols import Attached, LoadedBase, Outcome, Run, TrainingData
from adapterhub_lite.scoring import Scored
from adapterhub_lite.specs import Head
from adapterhub_lite_tasks.batching import answer, objects
from adapterhub_lite_tasks.common import (
    items_of,
    outcome_of,
    refuse_unknown_labels,
    require_labels,
)
from adapterhub_lite_tasks.inputs import (
    IGNORED,
    Base,
    call,
    longest_input,
    pad_inputs,
    pad_rows,
    padding_token,
    reads_segments,
    require_fast,
)
from adapterhub_lite_tasks.mixing import Found, OnePass
from adapterhub_lite_tasks.params import TaggingParams
from adapterhub_lite_tasks.settings import TaggerSettings, read_settings, write_settings
from adapterhub_lite_tasks.words import WordWindows, labels_of

Batch = Mapping[str, torch.Tensor]
OUTSIDE = "O"


@dataclass(frozen=True)
class Tagger(OnePass):
    """A model with an output for each tag at each token."""

    model: nn.Module
    windows: WordWindows
    settings: TaggerSettings

    @property
    def classes(self) -> tuple[str, ...]:
        """The tags, in the order of the outputs."""
        return self.settings.labels

    def probabilities(
        self, rows: Sequence[Sequence[str]], progress: Callable[[int], None] | None = None
    ) -> list[NDArray[np.float64]]:
        """Return for each row the probabilities (words, tags)."""
        features = self.windows.encode(rows)
        found = answer(self.model, features, self.collate, self.read, _scaled(progress, rows))
        return self._tables(rows, features, found)

    def _tables(
        self, rows: Sequence[Sequence[str]], features: Sequence[Feature], found: Found
    ) -> list[NDArray[np.float64]]:
        tables = [np.full((len(words), len(self.classes)), np.nan) for words in rows]
        for feature, table in zip(features, found, strict=True):
            for token, word in enumerate(feature["words"]):
                if word >= 0:
                    tables[feature["row"]][word] = table[token]
        return [self._filled(table) for table in tables]

    def _filled(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give a word without a token the tag O, or where there is none what stands before it."""
        default = np.full(len(self.classes), 1 / len(self.classes))
        if OUTSIDE in self.classes:
            default = np.eye(len(self.classes))[self.classes.index(OUTSIDE)]
        for word in np.flatnonzero(np.isnan(table).any(1)):
            before = default if OUTSIDE in self.classes or word == 0 else table[word - 1]
            table[word] = before
        return table

    def collate(self, features: Sequence[Feature]) -> Batch:
        """Pad windows to a batch."""
        return pad_inputs(features, self.windows.pad)

    def score(self, rows: RowSet, progress: Callable[[int], None] | None = None) -> Scored:
        """Return true tags, decided tags and probabilities, an entry a row."""
        tables = self.probabilities(rows.inputs, progress)
        truth = [item.tags for item in items_of(rows, TaggedWords)]
        return Scored(objects(truth), objects([*map(self._tags, tables)]), objects(tables))

    def predict(
        self, inputs: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> list[Prediction]:
        """Tag rows of words; a text is split at its spaces."""
        rows = _words(inputs)
        return self._tagged(rows, self.probabilities(rows, progress))

    def features(self, inputs: Sequence[Any]) -> list[Feature]:
        """Cut rows of words into windows."""
        return self.windows.encode(_words(inputs))

    def read(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return probabilities (rows, tokens, tags)."""
        return _logits(model, batch).softmax(-1)

    def answers(
        self, inputs: Sequence[Any], features: Sequence[Feature], found: Found
    ) -> list[Prediction]:
        """Return the tags of each row's words."""
        rows = _words(inputs)
        return self._tagged(rows, self._tables(rows, features, found))

    def _tagged(
        self, rows: Sequence[tuple[str, ...]], tables: Sequence[NDArray[np.float64]]
    ) -> list[Prediction]:
        return [
            Tagged(words, self._tags(table), tuple(map(float, table.max(1))) if words else ())
            for words, table in zip(rows, tables, strict=True)
        ]

    def _tags(self, table: NDArray[np.float64]) -> tuple[str, ...]:
        return tuple(self.classes[number] for number in table.argmax(1))


def _words(inputs: Sequence[Any]) -> list[tuple[str, ...]]:
    return [tuple(row.split() if isinstance(row, str) else row) for row in inputs]


def _logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Return (rows, tokens, tags); soft prompts' own positions stand in front and are left out."""
    logits: torch.Tensor = call(model, batch).logits
    return logits[:, -batch["input_ids"].shape[1] :].float()


def _scaled(
    progress: Callable[[int], None] | None, rows: Sequence[Any]
) -> Callable[[int], None] | None:
    """Count windows as rows, so that a bar over rows does not run over."""
    return None if progress is None else lambda done: progress(min(done, len(rows)))


@dataclass(frozen=True)
class TaggingLearner:
    """Features, batches and loss of tagging: a row's windows are features of their own."""

    scorer: Tagger
    run: Run | None = None
    separable: bool = True

    def features(self, rows: RowSet) -> list[Feature]:
        """Cut rows into windows with ``labels`` for each token; nothing is truncated."""
        column = {name: number for number, name in enumerate(self.scorer.classes)}
        items = items_of(rows, TaggedWords)
        tags = [[column[tag] for tag in item.tags] for item in items]
        features: list[Feature] = [
            {**feature, "labels": labels_of(feature, tags[feature["row"]])}
            for feature in self.scorer.windows.encode(rows.inputs)
        ]
        if self.run is not None:
            self._report(features, items)
        return [f for f in features if any(label != IGNORED for label in f["labels"])]

    def _report(self, features: Sequence[Feature], items: Sequence[TaggedWords]) -> None:
        assert self.run is not None, "asked only where there is a run"
        read = sum(label != IGNORED for feature in features for label in feature["labels"])
        lost = sum(len(item.words) for item in items) - read
        if len(features) > len(items):
            self.run.emit("windows", rows=len(items), windows=len(features))
        if lost:
            self.run.emit("words-without-token", words=lost)

    def collate(self, features: Sequence[Feature]) -> Batch:
        """Pad windows; ``labels`` are (windows, tokens), -100 where nothing is learnt."""
        labels = pad_rows([feature["labels"] for feature in features], IGNORED)
        return {**self.scorer.collate(features), "labels": labels}

    def units(self, batch: Batch) -> torch.Tensor:
        """Return the number of tagged words."""
        return (batch["labels"] != IGNORED).sum()

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the cross-entropy summed over words."""
        logits = _logits(model, batch).flatten(0, 1)
        labels = batch["labels"].flatten()
        return functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")

    def validate(self, model: nn.Module, rows: RowSet) -> Mapping[str, float]:
        """Return micro F1 over the words whose tag is not O, and the accuracy over all words."""
        scored = replace(self.scorer, model=model).score(rows)
        truth = np.array([tag for row in scored.truth for tag in row])
        found = np.array([tag for row in scored.decision for tag in row])
        right = truth == found
        total = (truth != OUTSIDE).sum() + (found != OUTSIDE).sum()
        hits = (right & (truth != OUTSIDE)).sum()
        return {
            "word_f1": float(2 * hits / total) if total else 1.0,
            "accuracy": float(right.mean()) if len(right) else 1.0,
        }


class Tagging:
    """Trains a tag for each word; a word's first sub-word carries it."""

    def check(self, rows: RowSet, params: TaggingParams) -> Sequence[str]:
        """Refuse rows with fewer than two tags, and rows whose tags do not match their words."""
        items = items_of(rows, TaggedWords)
        uneven = sum(len(item.words) != len(item.tags) for item in items)
        if uneven:
            return [f"{uneven} rows have another number of tags than of words"]
        if len(rows.classes) < 2:
            return [f"a tagger needs at least two tags, and the rows have {len(rows.classes)}"]
        return []

    def head(self, rows: RowSet, params: TaggingParams) -> Head:
        """Return a head with the tags, sorted."""
        return Head(kind="token-classification", labels=rows.classes)

    def fit(
        self, attached: Attached, data: TrainingData, params: TaggingParams, run: Run
    ) -> Outcome:
        """Train on the shared loop; the best step has the best F1 of words on validation rows."""
        refuse_unknown_labels(data, attached.head.labels)
        scorer = make_tagger(attached, settings_of(attached, params))
        return outcome_of(scorer, fit(attached, TaggingLearner(scorer, run), data, params, run))

    def save(self, outcome: Outcome, folder: Path) -> None:
        """Write ``task.json``."""
        assert isinstance(outcome.scorer, Tagger), "an objective saves what it fitted"
        write_settings(folder, outcome.scorer.settings)

    def load(self, base: LoadedBase, folder: Path) -> Tagger:
        """Rebuild the tagger; raises IntegrityError when its parts do not fit together."""
        settings = read_settings(folder, TaggerSettings)
        require_labels(base, settings.labels)
        return make_tagger(base, settings)

    def adopt(self, base: LoadedBase, params: TaggingParams) -> Tagger:
        """Return the tagger of a model that was trained elsewhere."""
        return make_tagger(base, settings_of(base, params))


def settings_of(base: Base, params: TaggingParams) -> TaggerSettings:
    """Return what a version keeps of a base and its params."""
    length = longest_input(base.model, params.max_length)
    return TaggerSettings(labels=base.head.labels, max_length=length)


def make_tagger(base: Base, settings: TaggerSettings) -> Tagger:
    """Return the tagger of a base; raises CapabilityError without a fast tokenizer."""
    require_fast(base, "tagging")
    pad = padding_token(base)
    windows = WordWindows(base.tokenizer, settings.max_length, reads_segments(base.model), pad)
    return Tagger(base.model, windows, settings)
