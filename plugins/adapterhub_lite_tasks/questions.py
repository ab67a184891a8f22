"""Extractive question answering, with or without unanswerable questions."""

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from adapterhub_lite.data.examples import Question
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import DataError
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite.finetuning.loop import fit
from adapterhub_lite.predictions import Extracted, Prediction
from adapterhub_lite.protocols import Attached, LoadedBase, Outcome, Run, TrainingData
from adapterhub_lite.scoring import Scored
from adapterhub_lite.specs import Head
from adapterhub_lite_tasks.batching import answer, objects
from adapterhub_lite_tasks.common import items_of, outcome_of
from adapterhub_lite_tasks.inputs import (
    Base,
    call,
    end_token,
    inner_model,
    is_decoder,
    longest_input,
    pad_inputs,
    pad_rows,
    padding_token,
    reads_segments,
    report_cut,
    require_fast,
)
from adapterhub_lite_tasks.mixing import Found, OnePass
from adapterhub_lite_tasks.params import QuestionParams
from adapterhub_lite_tasks.settings import QuestionSettings, read_settings, write_settings
from adapterhub_lite_tasks.windows import QuestionWindows, Span, best_spans, target

Batch = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Reader(OnePass):
    """A model that says where in a context an answer starts and ends."""

    model: nn.Module
    windows: QuestionWindows
    settings: QuestionSettings
    pad: int

    @property
    def classes(self) -> tuple[str, ...]:
        """None."""
        return ()

    def collate(self, features: Sequence[Feature]) -> Batch:
        """Pad windows; ``allowed`` (windows, tokens) are 1 in the context and at the null place."""
        allowed = [
            [int(start >= 0 or token == feature["null"]) for token, (start, _) in _spans(feature)]
            for feature in features
        ]
        return {**pad_inputs(features, self.pad), "allowed": pad_rows(allowed, 0)}

    def predict(
        self, inputs: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> list[Prediction]:
        """Return the answer to each question about its context."""
        return list(self._answers(inputs, progress))

    def score(self, rows: RowSet, progress: Callable[[int], None] | None = None) -> Scored:
        """Return the right answers, the given ones, and how likely they are (rows, 1)."""
        answers = self._answers(rows.inputs, progress)
        scores = np.array([[found.score] for found in answers]).reshape(len(answers), 1)
        truth = objects([item.answers for item in items_of(rows, Question)])
        return Scored(truth, objects([found.answer for found in answers]), scores)

    def _answers(
        self, inputs: Sequence[Any], progress: Callable[[int], None] | None
    ) -> list[Extracted]:
        features = self.features(inputs)
        counted = None if progress is None else lambda done: progress(min(done, len(inputs)))
        found = answer(self.model, features, self.collate, self.read, counted)
        return self._decided(inputs, features, found)

    def features(self, inputs: Sequence[Any]) -> list[Feature]:
        """Cut contexts into windows."""
        return self.windows.encode(_pairs(inputs))[0]

    def read(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return start and end logits (windows, tokens, 2)."""
        return span_logits(model, batch)

    def answers(
        self, inputs: Sequence[Any], features: Sequence[Feature], found: Found
    ) -> list[Prediction]:
        """Return the answer to each question about its context."""
        return list(self._decided(inputs, features, found))

    def _decided(
        self, inputs: Sequence[Any], features: Sequence[Feature], found: Found
    ) -> list[Extracted]:
        by_row: dict[int, list[tuple[Feature, Any]]] = {}
        for feature, logits in zip(features, found, strict=True):
            by_row.setdefault(feature["row"], []).append((feature, logits))
        return [self._decide(pair, by_row[row]) for row, pair in enumerate(_pairs(inputs))]

    def _decide(self, pair: tuple[str, str], windows: Sequence[tuple[Feature, Any]]) -> Extracted:
        """Choose among the spans of all windows, and no answer, which all of them have to give."""
        settings = self.settings
        best = self._candidates(windows)
        null = min(float(logits[feature["null"]].sum()) for feature, logits in windows)
        empty = not best or (settings.no_answer and null - best[0].logit > settings.null_threshold)
        logits = [span.logit for span in best] + ([null] if settings.no_answer or empty else [])
        likely = np.exp(np.array(logits) - max(logits))
        score = float(likely[-1 if empty else 0] / likely.sum())
        chosen = Span(0, 0, 0.0) if empty else best[0]
        text = pair[1][chosen.start : chosen.end]
        return Extracted(*pair, text, chosen.start, chosen.end, score)

    def _candidates(self, windows: Sequence[tuple[Feature, Any]]) -> list[Span]:
        """Return the best spans, the best first; one that two windows show counts once."""
        best: dict[tuple[int, int], Span] = {}
        limits = self.settings.n_best, self.settings.max_answer_length
        for feature, logits in windows:
            for span in best_spans(feature, logits[:, 0], logits[:, 1], *limits):
                known = best.get((span.start, span.end))
                if known is None or span.logit > known.logit:
                    best[span.start, span.end] = span
        ranked = sorted(best.values(), key=lambda span: -span.logit)
        return ranked[: self.settings.n_best]


def _pairs(inputs: Sequence[Any]) -> list[tuple[str, str]]:
    return [(str(question), str(context)) for question, context in inputs]


def _spans(feature: Feature) -> list[tuple[int, tuple[int, int]]]:
    return list(enumerate(feature["spans"]))


def span_logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Return start and end logits (windows, tokens, 2), as good as minus infinity outside.

    Outside are the question, special tokens and padding; soft prompts' positions are left out.
    """
    output = call(model, batch)
    both = torch.stack([output.start_logits, output.end_logits], dim=-1).float()
    both = both[:, -batch["input_ids"].shape[1] :]
    return both.masked_fill(batch["allowed"].unsqueeze(-1) == 0, torch.finfo(both.dtype).min / 4)


@dataclass(frozen=True)
class QuestionLearner:
    """Features, batches and loss of question answering: a row's windows are features."""

    scorer: Reader
    run: Run | None = None
    separable: bool = True

    def features(self, rows: RowSet) -> list[Feature]:
        """Cut contexts into windows; ``start`` and ``end`` are tokens of the first answer."""
        features, cut = self.scorer.windows.encode(rows.inputs)
        items = items_of(rows, Question)
        report_cut(self.run, cut, len(items), self.scorer.settings.max_length)
        placed: list[Feature] = []
        for feature in features:
            start, end = target(feature, *_offsets(items[feature["row"]]))
            placed.append({**feature, "start": start, "end": end})
        self._refuse_unreachable(placed, items)
        return placed

    def _refuse_unreachable(self, features: Sequence[Feature], items: Sequence[Question]) -> None:
        reached = {f["row"] for f in features if f["start"] != f["null"]}
        lost = [row for row, item in enumerate(items) if item.answers and row not in reached]
        if self.run is not None and lost:
            self.run.emit("answers-in-no-window", rows=len(lost), of=len(items))
        if lost and len(lost) == len(items):
            raise DataError(
                "no answer lies within a window",
                hint="raise max_length or stride; answers are longer than the windows' overlap",
            )

    def collate(self, features: Sequence[Feature]) -> Batch:
        """Pad windows; ``labels`` (windows, 2) are the answer's first and last token."""
        labels = torch.tensor([[feature["start"], feature["end"]] for feature in features])
        return {**self.scorer.collate(features), "labels": labels}

    def units(self, batch: Batch) -> torch.Tensor:
        """Return the number of windows."""
        return torch.tensor(len(batch["labels"]))

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean of start's and end's cross-entropy, summed over windows."""
        logits = span_logits(model, batch).transpose(1, 2)
        return (
            functional.cross_entropy(
                logits.flatten(0, 1), batch["labels"].flatten(), reduction="sum"
            )
            / 2
        )

    def validate(self, model: nn.Module, rows: RowSet) -> Mapping[str, float]:
        """Return SQuAD's F1 over words and its exact match."""
        scored = replace(self.scorer, model=model).score(rows)
        pairs = list(zip(scored.decision, scored.truth, strict=True))
        f1 = [max(word_f1(found, right) for right in answers or ("",)) for found, answers in pairs]
        exact = [
            any(words_of(found) == words_of(right) for right in answers or ("",))
            for found, answers in pairs
        ]
        return {"word_f1": float(np.mean(f1)), "exact_match": float(np.mean(exact))}


def _offsets(item: Question) -> tuple[int, int]:
    return (item.starts[0], item.starts[0] + len(item.answers[0])) if item.answers else (-1, -1)


def words_of(text: str) -> list[str]:
    """Return a text's words as SQuAD compares them: no case, punctuation or articles."""
    plain = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


def word_f1(found: str, right: str) -> float:
    """Return F1 of the words that two answers share; 1 when neither has any."""
    one, other = words_of(found), words_of(right)
    if not one or not other:
        return float(one == other)
    shared = sum((Counter(one) & Counter(other)).values())
    return 2 * shared / (len(one) + len(other))


class QuestionAnswering:
    """Trains where answers start and end."""

    def check(self, rows: RowSet, params: QuestionParams) -> Sequence[str]:
        """Refuse answers that are not where they are said to be."""
        items = items_of(rows, Question)
        wrong = sum(not _answers_stand(item) for item in items)
        problems = [f"{wrong} rows have an answer that is not at its start"] if wrong else []
        if not any(item.answers for item in items):
            problems.append("no row has an answer")
        if params.no_answer == "no" and not all(item.answers for item in items):
            problems.append("some rows have no answer, and no_answer is 'no'")
        return problems

    def head(self, rows: RowSet, params: QuestionParams) -> Head:
        """Return a head for starts and ends."""
        return Head(kind="question-answering")

    def fit(
        self, attached: Attached, data: TrainingData, params: QuestionParams, run: Run
    ) -> Outcome:
        """Train on the shared loop; the best step has the best F1 on validation rows."""
        items = items_of(data.train, Question)
        empty = any(not item.answers for item in items)
        settings = settings_of(attached, params, empty)
        scorer = make_reader(attached, settings)
        learner = QuestionLearner(scorer, run)
        return outcome_of(
            scorer, fit(attached, learner, data, params, run), no_answer=settings.no_answer
        )

    def save(self, outcome: Outcome, folder: Path) -> None:
        """Write ``task.json``."""
        assert isinstance(outcome.scorer, Reader), "an objective saves what it fitted"
        write_settings(folder, outcome.scorer.settings)

    def load(self, base: LoadedBase, folder: Path) -> Reader:
        """Rebuild the reader; raises IntegrityError when ``task.json`` is nonsense."""
        return make_reader(base, read_settings(folder, QuestionSettings))

    def adopt(self, base: LoadedBase, params: QuestionParams) -> Reader:
        """Return the reader of a model that was trained elsewhere.

        Unless the params say that a context may not tell, it always answers.
        """
        return make_reader(base, settings_of(base, params, empty=False))


def settings_of(base: Base, params: QuestionParams, empty: bool) -> QuestionSettings:
    """Return what a version keeps; ``empty`` says whether a training row has no answer."""
    length = longest_input(base.model, params.max_length)
    return QuestionSettings(
        max_length=length,
        stride=min(params.stride, length // 3),
        no_answer=empty if params.no_answer == "auto" else params.no_answer == "yes",
        null_threshold=params.null_threshold,
        n_best=params.n_best,
        max_answer_length=params.max_answer_length,
    )


def _answers_stand(item: Question) -> bool:
    pairs = zip(item.answers, item.starts, strict=False)
    return len(item.answers) == len(item.starts) and all(
        text and start >= 0 and item.context.startswith(text, start) for text, start in pairs
    )


def make_reader(base: Base, settings: QuestionSettings) -> Reader:
    """Return the reader of a base; raises CapabilityError without a fast tokenizer."""
    require_fast(base, "question answering")
    config = inner_model(base.model).config
    windows = QuestionWindows(
        tokenizer=base.tokenizer,
        max_length=settings.max_length,
        stride=settings.stride,
        segments=reads_segments(base.model),
        end=end_token(base) if is_decoder(config) else None,
    )
    return Reader(base.model, windows, settings, padding_token(base))
