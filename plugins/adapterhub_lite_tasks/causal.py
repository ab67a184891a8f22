"""Causal language modelling of raw text: documents joined by the end token, cut into blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterhub_lite.data.examples import Document
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite.finetuning.loop import fit
from adapterhub_lite.protocols import Attached, LoadedBase, Outcome, Run, TrainingData
from adapterhub_lite.specs import Head
from adapterhub_lite_tasks.common import items_of, outcome_of
from adapterhub_lite_tasks.generation import generation_settings
from adapterhub_lite_tasks.inputs import IGNORED, Base, end_token, longest_input, padding_token
from adapterhub_lite_tasks.likelihood import Batch, decoder_batch
from adapterhub_lite_tasks.params import CausalParams
from adapterhub_lite_tasks.settings import (
    CausalSettings,
    GenerationSettings,
    read_settings,
    write_settings,
)
from adapterhub_lite_tasks.tokens import opening_tokens, plain_tokens
from adapterhub_lite_tasks.writing import Writer, WritingLearner


@dataclass(frozen=True)
class DocumentFormat:
    """Documents as tokens: what the tokenizer puts in front, the text, the end token."""

    tokenizer: Any
    settings: CausalSettings
    pad: int
    end: int

    @property
    def generation(self) -> GenerationSettings:
        """How text is generated."""
        return self.settings.generation

    @property
    def chats(self) -> bool:
        """Never: it reads one text."""
        return False

    def packed(self, rows: RowSet) -> list[Feature]:
        """Return blocks of all documents, one behind the other, to train on.

        Neighbouring blocks share a token, so that each token but the very first is learnt once.
        """
        stream: list[int] = []
        owners: list[int] = []
        for row, item in enumerate(items_of(rows, Document)):
            ids = self._tokens(item)
            stream += ids
            owners += [row] * len(ids)
        return [
            {**feature, "row": owners[number * (self.settings.block_size - 1)]}
            for number, feature in enumerate(self._blocks(stream))
        ]

    def examples(self, rows: RowSet) -> list[Feature]:
        """Return the blocks of each document, to score."""
        return [
            {**feature, "row": row}
            for row, item in enumerate(items_of(rows, Document))
            for feature in self._blocks(self._tokens(item))
        ]

    def prompt(self, asked: Any) -> list[int]:
        """Return the beginning of a document, to go on from."""
        ids = opening_tokens(self.tokenizer) + plain_tokens(self.tokenizer, str(asked))
        return ids or [self.end]

    def references(self, rows: RowSet) -> list[str]:
        """Return the documents."""
        return [item.text for item in items_of(rows, Document)]

    def collate(self, features: Sequence[Feature]) -> Batch:
        """Pad blocks to a batch."""
        return decoder_batch(features, self.pad)

    def _tokens(self, item: Document) -> list[int]:
        front = opening_tokens(self.tokenizer)
        return [*front, *plain_tokens(self.tokenizer, item.text), self.end]

    def _blocks(self, stream: list[int]) -> list[dict[str, Any]]:
        step = self.settings.block_size - 1
        blocks = [stream[at : at + step + 1] for at in range(0, max(len(stream) - 1, 0), step)]
        return [
            {"input_ids": ids, "labels": [IGNORED, *ids[1:]], "length": len(ids)} for ids in blocks
        ]


class CausalLanguage:
    """Trains on every token of raw text."""

    def check(self, rows: RowSet, params: CausalParams) -> Sequence[str]:
        """Refuse rows without text."""
        empty = not any(item.text.strip() for item in items_of(rows, Document))
        return ["the documents are empty"] if empty else []

    def head(self, rows: RowSet, params: CausalParams) -> Head:
        """Return the language-model head."""
        return Head(kind="causal-lm")

    def fit(
        self, attached: Attached, data: TrainingData, params: CausalParams, run: Run
    ) -> Outcome:
        """Train on the shared loop; the best step has the least perplexity."""
        written = make_format(attached, settings_of(attached, params, run.seed))
        scorer = Writer(attached.model, written, generates=False)
        learner = WritingLearner(scorer, written.packed, written.collate)
        return outcome_of(scorer, fit(attached, learner, data, params, run))

    def save(self, outcome: Outcome, folder: Path) -> None:
        """Write ``task.json``."""
        assert isinstance(outcome.scorer, Writer), "an objective saves what it fitted"
        write_settings(folder, outcome.scorer.format.settings)

    def load(self, base: LoadedBase, folder: Path) -> Writer:
        """Rebuild the scorer; raises IntegrityError when ``task.json`` is nonsense."""
        settings = read_settings(folder, CausalSettings)
        return Writer(base.model, make_format(base, settings), generates=False)

    def adopt(self, base: LoadedBase, params: CausalParams) -> Writer:
        """Return the writer of a model that was trained elsewhere."""
        return Writer(base.model, make_format(base, settings_of(base, params, 0)), generates=False)


def settings_of(base: Base, params: CausalParams, seed: int) -> CausalSettings:
    """Return what a version keeps of a base and its params."""
    return CausalSettings(
        block_size=longest_input(base.model, params.block_size),
        generation=generation_settings(params, [end_token(base)], seed),
    )


def make_format(base: Base, settings: CausalSettings) -> DocumentFormat:
    """Return the format of a base; raises BaseModelError where no token pads or ends a text."""
    return DocumentFormat(base.tokenizer, settings, padding_token(base), end_token(base))
