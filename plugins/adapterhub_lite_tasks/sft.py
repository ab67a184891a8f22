"""Supervised fine-tuning: a model learns to complete prompts and to answer in chats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.data.examples import Dialogue, Message
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import CapabilityError, DataError
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite.finetuning.loop import fit
from adapterhub_lite.protocols import Attached, LoadedBase, Outcome, Run, TrainingData
from adapterhub_lite.specs import Head
from adapterhub_lite_tasks.chat import (
    CHAT_FILE,
    Template,
    choose_template,
    enforce,
    own_template,
    template_digest,
)
from adapterhub_lite_tasks.common import items_of, outcome_of
from adapterhub_lite_tasks.dialogues import DialogueEncoder, Encoded, cut, dialogue_encoder
from adapterhub_lite_tasks.generation import generation_settings
from adapterhub_lite_tasks.inputs import (
    Base,
    end_token,
    longest_input,
    padding_token,
    require_fast,
)
from adapterhub_lite_tasks.likelihood import Batch, decoder_batch
from adapterhub_lite_tasks.packing import pack, packed_batch, refuse_if_rows_leak
from adapterhub_lite_tasks.params import SftParams
from adapterhub_lite_tasks.settings import (
    ChatSettings,
    GenerationSettings,
    SftSettings,
    read_settings,
    write_settings,
)
from adapterhub_lite_tasks.writing import Writer, WritingLearner

SAMPLE: Final = Dialogue((Message("user", "a"), Message("assistant", "a")))
"""Shows with which token a chat template ends an answer, where no row does."""


@dataclass(frozen=True)
class DialogueFormat:
    """Dialogues as tokens, to train, to score and to ask with."""

    encoder: DialogueEncoder
    settings: SftSettings
    chat: ChatSettings
    pad: int

    @property
    def tokenizer(self) -> Any:
        """The tokenizer."""
        return self.encoder.tokenizer

    @property
    def generation(self) -> GenerationSettings:
        """How answers are generated."""
        return self.chat.generation

    @property
    def chats(self) -> bool:
        """Whether it learnt messages, by a chat template."""
        return self.encoder.template is not None

    def training(self, rows: RowSet, policy: str, run: Run) -> list[Feature]:
        """Return a feature a dialogue; those that are too long are treated by ``policy``.

        Raises DataError with the policy "error", and when nothing is left to learn.
        """
        encoded = [self.encoder.encode(item) for item in items_of(rows, Dialogue)]
        long = {row for row, item in enumerate(encoded) if len(item) > self.settings.max_length}
        if long:
            self._report(encoded, long, policy, run)
        kept = [
            (row, self._cut(item))
            for row, item in enumerate(encoded)
            if policy == "truncate" or row not in long
        ]
        return [item.feature(row) for row, item in kept if any(item.learnt[1:])]

    def _report(self, encoded: Sequence[Encoded], long: set[int], policy: str, run: Run) -> None:
        limit = self.settings.max_length
        longest = max(len(encoded[row]) for row in long)
        if policy == "error":
            raise DataError(
                f"{len(long)} of {len(encoded)} dialogues are longer than {limit} tokens, the "
                f"longest has {longest}",
                hint="raise max_length, or choose too_long: drop or truncate",
            )
        losing = sum(sum(self._cut(encoded[row]).learnt) < sum(encoded[row].learnt) for row in long)
        event = "truncated" if policy == "truncate" else "dropped"
        run.emit(
            event,
            rows=len(long),
            of=len(encoded),
            max_length=limit,
            longest=longest,
            completions=losing if policy == "truncate" else len(long),
        )

    def _cut(self, encoded: Encoded) -> Encoded:
        return cut(encoded, self.settings.max_length, self.settings.min_prompt)

    def examples(self, rows: RowSet) -> list[Feature]:
        """Return the dialogues that have something to score, cut to the length limit."""
        encoded = [self._cut(self.encoder.encode(item)) for item in items_of(rows, Dialogue)]
        return [item.feature(row) for row, item in enumerate(encoded) if any(item.learnt[1:])]

    def prompt(self, asked: Any) -> list[int]:
        """Return the tokens of a prompt, or of messages: records, or pairs of role and content.

        Raises CapabilityError for messages asked of a model that learnt plain completions.
        """
        if isinstance(asked, str):
            return self.encoder.prompt(asked)
        if self.encoder.template is None:
            raise CapabilityError(
                "this model learnt plain prompts and completions, not chats",
                hint="ask it with a text",
            )
        return self.encoder.prompt([_message(message) for message in asked])

    def references(self, rows: RowSet) -> list[str]:
        """Return the last answers."""
        return [item.truth for item in items_of(rows, Dialogue)]

    def collate(self, features: Sequence[Feature]) -> Batch:
        """Pad dialogues to a batch."""
        return decoder_batch(features, self.pad)


def _message(given: Any) -> Message:
    if isinstance(given, Message):
        return given
    try:
        return Message(given["role"], given["content"])
    except (TypeError, KeyError) as error:
        raise DataError("a message is an object with the keys role and content") from error


class SupervisedFineTuning:
    """Trains on completions: all assistant turns, the last, or the whole text."""

    def check(self, rows: RowSet, params: SftParams) -> Sequence[str]:
        """Refuse dialogues that do not end with an answer, or have none."""
        items = items_of(rows, Dialogue)
        open_ended = sum(
            not item.messages or item.messages[-1].role != "assistant" for item in items
        )
        empty = sum(bool(item.messages) and not item.truth.strip() for item in items)
        problems = []
        if open_ended:
            problems.append(f"{open_ended} dialogues do not end with a turn of the assistant")
        if empty:
            problems.append(f"{empty} dialogues end with an empty answer")
        if not params.template.strip():
            problems.append("the chat template is empty")
        return problems

    def head(self, rows: RowSet, params: SftParams) -> Head:
        """Return the language-model head."""
        return Head(kind="causal-lm")

    def fit(self, attached: Attached, data: TrainingData, params: SftParams, run: Run) -> Outcome:
        """Train on the shared loop; the best step has the least perplexity of completions."""
        items = items_of(data.train, Dialogue)
        chats = not all(item.plain for item in items)
        written = make_format(attached, items, params, run.seed, chats)
        features = written.training(data.train, params.too_long, run)
        if not features:
            raise DataError("no dialogue is left to learn from", hint="raise max_length")
        collate = written.collate
        if params.packing:
            refuse_if_rows_leak(attached.model, features, written.pad)
            features = pack(features, written.settings.max_length)
            collate = partial(packed_batch, pad=written.pad)
        scorer = Writer(attached.model, written, params.score_generations)
        learner = WritingLearner(scorer, lambda rows: features, collate)
        fitted = fit(attached, learner, data, params, run)
        return outcome_of(scorer, fitted, chat_template_sha256=written.chat.sha256)

    def save(self, outcome: Outcome, folder: Path) -> None:
        """Write ``task.json``, and ``chat.json`` with the template and its hash."""
        scorer = outcome.scorer
        assert isinstance(scorer, Writer), "an objective saves what it fitted"
        assert isinstance(scorer.format, DialogueFormat), "of its own kind"
        write_settings(folder, scorer.format.settings)
        write_settings(folder, scorer.format.chat, CHAT_FILE)

    def load(self, base: LoadedBase, folder: Path) -> Writer:
        """Rebuild the scorer.

        Raises IntegrityError when its files are nonsense, or the tokenizer's chat template is
        another than the model was trained with.
        """
        settings = read_settings(folder, SftSettings)
        chat = read_settings(folder, ChatSettings, CHAT_FILE)
        template = enforce(chat, base.tokenizer, folder)
        encoder = dialogue_encoder(base.tokenizer, template, settings.learn, end_token(base))
        written = DialogueFormat(encoder, settings, chat, padding_token(base))
        return Writer(base.model, written, settings.score_generations)

    def adopt(self, base: LoadedBase, params: SftParams) -> Writer:
        """Return the writer of a model that was trained elsewhere.

        It is asked in the chat template that the params choose; where that is the tokenizer's and
        there is none, with plain prompts.
        """
        chats = params.template != "tokenizer" or own_template(base.tokenizer) is not None
        written = make_format(base, [SAMPLE], params, 0, chats)
        return Writer(base.model, written, params.score_generations)


def make_format(
    base: Base, items: Sequence[Dialogue], params: SftParams, seed: int, chats: bool
) -> DialogueFormat:
    """Return the format of a training: its template goes into the tokenizer, to be saved there.

    ``chats`` says whether there is one; without, prompts and completions are plain.
    """
    require_fast(base, "supervised fine-tuning")
    text = None
    if chats:
        text = choose_template(base.tokenizer, params.template)
        base.tokenizer.chat_template = text
    template = None if text is None else Template(base.tokenizer, text)
    encoder = dialogue_encoder(base.tokenizer, template, params.learn, end_token(base))
    stops = {encoder.end}.union(*(encoder.encode(item).stops for item in items[:64]))
    settings = SftSettings(
        max_length=longest_input(base.model, params.max_length),
        min_prompt=params.min_prompt,
        learn=params.learn,
        score_generations=params.score_generations,
    )
    chat = ChatSettings(
        template=text,
        sha256=None if text is None else template_digest(text),
        generation=generation_settings(params, sorted(stops), seed),
    )
    return DialogueFormat(encoder, settings, chat, padding_token(base))
