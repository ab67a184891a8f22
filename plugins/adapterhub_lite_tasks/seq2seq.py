"""Sequence to sequence: summaries, translations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterhub_lite.data.examples import SourceTarget
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite.finetuning.loop import fit
from adapterhub_lite.protocols import Attached, LoadedBase, Outcome, Run, TrainingData
from adapterhub_lite.specs import Head
from adapterhub_lite_tasks.common import items_of, outcome_of
from adapterhub_lite_tasks.generation import generation_settings
from adapterhub_lite_tasks.inputs import (
    Base,
    end_token,
    inner_model,
    longest_input,
    padding_token,
    report_cut,
)
from adapterhub_lite_tasks.likelihood import Batch, sequence_batch
from adapterhub_lite_tasks.params import Seq2SeqParams
from adapterhub_lite_tasks.settings import (
    GenerationSettings,
    Seq2SeqSettings,
    read_settings,
    write_settings,
)
from adapterhub_lite_tasks.writing import Writer, WritingLearner


@dataclass(frozen=True)
class SourceFormat:
    """Sources and targets as tokens; ``start`` is what the decoder reads first."""

    tokenizer: Any
    settings: Seq2SeqSettings
    pad: int
    start: int
    end: int
    run: Run | None = None

    @property
    def generation(self) -> GenerationSettings:
        """How targets are generated."""
        return self.settings.generation

    @property
    def chats(self) -> bool:
        """Never: it reads one text."""
        return False

    def training(self, rows: RowSet) -> list[Feature]:
        """Return features to train on; the run is told how many texts were cut."""
        items = items_of(rows, SourceTarget)
        settings = self.settings
        for limit, texts in (
            (settings.max_source_length, [settings.prefix + item.source for item in items]),
            (settings.max_target_length, [item.target for item in items]),
        ):
            cut = sum(len(ids) > limit for ids in self.tokenizer(texts)["input_ids"])
            report_cut(self.run, cut, len(items), limit)
        return self.examples(rows)

    def examples(self, rows: RowSet) -> list[Feature]:
        """Return a feature a row: the source, and the target as ``labels``."""
        features: list[Feature] = []
        for row, item in enumerate(items_of(rows, SourceTarget)):
            source = self.prompt(item.source)
            labels = self._target(item.target)
            length = len(source) + len(labels)
            features.append({"input_ids": source, "labels": labels, "length": length, "row": row})
        return features

    def _target(self, text: str) -> list[int]:
        """Return a target's tokens; the last is the end token, also of one that was cut."""
        limit = self.settings.max_target_length
        ids = self.tokenizer(text_target=text, truncation=True, max_length=limit)["input_ids"]
        return list(ids) if ids[-1:] == [self.end] else [*ids[: limit - 1], self.end]

    def prompt(self, asked: Any) -> list[int]:
        """Return the tokens of a source, behind the prefix."""
        limit = self.settings.max_source_length
        text = self.settings.prefix + str(asked)
        ids = list(self.tokenizer(text, truncation=True, max_length=limit)["input_ids"])
        return ids or [self.end]

    def references(self, rows: RowSet) -> list[str]:
        """Return the targets."""
        return [item.target for item in items_of(rows, SourceTarget)]

    def collate(self, features: Sequence[Feature]) -> Batch:
        """Pad sources and targets to a batch."""
        return sequence_batch(features, self.pad, self.start)


class SequenceToSequence:
    """Trains a decoder to write a target from a source."""

    def check(self, rows: RowSet, params: Seq2SeqParams) -> Sequence[str]:
        """Refuse rows without a target."""
        empty = sum(not item.target.strip() for item in items_of(rows, SourceTarget))
        return [f"{empty} rows have an empty target"] if empty else []

    def head(self, rows: RowSet, params: Seq2SeqParams) -> Head:
        """Return the language-model head of an encoder-decoder."""
        return Head(kind="seq2seq-lm")

    def fit(
        self, attached: Attached, data: TrainingData, params: Seq2SeqParams, run: Run
    ) -> Outcome:
        """Train on the shared loop; the best step has the least perplexity of targets."""
        written = make_format(attached, settings_of(attached, params, run.seed), run)
        scorer = Writer(attached.model, written, params.score_generations)
        learner = WritingLearner(scorer, written.training, written.collate, params.label_smoothing)
        return outcome_of(scorer, fit(attached, learner, data, params, run))

    def save(self, outcome: Outcome, folder: Path) -> None:
        """Write ``task.json``."""
        assert isinstance(outcome.scorer, Writer), "an objective saves what it fitted"
        write_settings(folder, outcome.scorer.format.settings)

    def load(self, base: LoadedBase, folder: Path) -> Writer:
        """Rebuild the scorer; raises IntegrityError when ``task.json`` is nonsense."""
        settings = read_settings(folder, Seq2SeqSettings)
        return Writer(base.model, make_format(base, settings), settings.score_generations)

    def adopt(self, base: LoadedBase, params: Seq2SeqParams) -> Writer:
        """Return the writer of a model that was trained elsewhere."""
        written = make_format(base, settings_of(base, params, 0))
        return Writer(base.model, written, params.score_generations)


def settings_of(base: Base, params: Seq2SeqParams, seed: int) -> Seq2SeqSettings:
    """Return what a version keeps of a base and its params."""
    return Seq2SeqSettings(
        prefix=params.prefix,
        max_source_length=longest_input(base.model, params.max_source_length),
        max_target_length=longest_input(base.model, params.max_target_length),
        score_generations=params.score_generations,
        generation=generation_settings(params, [end_token(base)], seed),
    )


def make_format(base: Base, settings: Seq2SeqSettings, run: Run | None = None) -> SourceFormat:
    """Return the format of a base; raises BaseModelError where its decoder has no first token."""
    config = inner_model(base.model).config
    start = config.decoder_start_token_id
    if start is None:
        raise BaseModelError(
            "the model's config has no decoder_start_token_id",
            ref=str(base.path),
            hint="set it in config.json, as the model was trained with",
        )
    return SourceFormat(
        base.tokenizer, settings, padding_token(base), int(start), end_token(base), run
    )
