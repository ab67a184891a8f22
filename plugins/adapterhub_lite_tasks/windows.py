"""Windows of a context beside its question, and the spans they give."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite_tasks.words import trimmed

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class QuestionWindows:
    """Tokenises questions with their contexts, cut into windows that share ``stride`` tokens.

    A question takes half of a window at most, so a stride of a third leaves room for the context.

    ``end`` is put behind each window where a model reads from left to right: there it says that
    the window has no answer. Elsewhere the first token does.
    """

    tokenizer: Any
    max_length: int
    stride: int
    segments: bool
    end: int | None

    def encode(self, inputs: Sequence[tuple[str, str]]) -> tuple[list[Feature], int]:
        """Return all windows, and how many questions were cut to half a window.

        A window's ``spans`` has for each token its start and end in the context, (-1, -1) outside
        of it; ``null`` is the position that stands for no answer.
        """
        if not inputs:
            return [], 0
        questions = [self._cut(question) for question, _ in inputs]
        cut = sum(a != b for a, (b, _) in zip(questions, inputs, strict=True))
        encoded = self.tokenizer(
            questions,
            [context for _, context in inputs],
            truncation="only_second",
            max_length=self.max_length - (self.end is not None),
            stride=self.stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_token_type_ids=self.segments,
            return_attention_mask=False,
        )
        rows = encoded["overflow_to_sample_mapping"]
        return [self._feature(encoded, n, row, inputs[row][1]) for n, row in enumerate(rows)], cut

    def _cut(self, question: str) -> str:
        """Return as much of a question as half of a window holds."""
        question = question.strip()
        most = self.max_length // 2
        offsets = self.tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)[
            "offset_mapping"
        ]
        return question if len(offsets) <= most else question[: offsets[most - 1][1]]

    def _feature(self, encoded: Any, number: int, row: int, context: str) -> Feature:
        sequences = encoded.sequence_ids(number)
        offsets = encoded["offset_mapping"][number]
        spans = [
            _span(context, *offset) if sequence == 1 else (-1, -1)
            for sequence, offset in zip(sequences, offsets, strict=True)
        ]
        ids = list(encoded["input_ids"][number])
        if self.end is not None:
            ids.append(self.end)
            spans.append((-1, -1))
        feature = {
            "input_ids": ids,
            "spans": spans,
            "null": 0 if self.end is None else len(ids) - 1,
            "length": len(ids),
            "row": row,
        }
        if self.segments:
            feature["token_type_ids"] = encoded["token_type_ids"][number]
        return feature


def _span(context: str, start: int, end: int) -> tuple[int, int]:
    start, end = trimmed(context, start, end)
    return (start, end) if start < end else (-1, -1)


def target(feature: Feature, start: int, end: int) -> tuple[int, int]:
    """Return the first and last token of an answer; the null position where it is not inside.

    ``start`` and ``end`` are offsets in the context; -1 for no answer.
    """
    spans = feature["spans"]
    inside = [n for n, (a, b) in enumerate(spans) if a >= 0 and a < end and b > start]
    if start < 0 or not inside or spans[inside[0]][0] > start or spans[inside[-1]][1] < end:
        return feature["null"], feature["null"]
    return inside[0], inside[-1]


@dataclass(frozen=True, slots=True)
class Span:
    """An answer's offsets in the context, and the sum of its two logits."""

    start: int
    end: int
    logit: float


def best_spans(
    feature: Feature, starts: Floats, ends: Floats, n_best: int, longest: int
) -> Iterator[Span]:
    """Yield the spans of the ``n_best`` starts and ends of a window that are possible answers.

    ``starts`` and ``ends`` (tokens,) are logits; an answer has at most ``longest`` tokens.
    """
    spans = feature["spans"]
    tokens = np.array([n for n, (a, _) in enumerate(spans) if a >= 0], dtype=int)
    first = tokens[np.argsort(-starts[tokens], kind="stable")[:n_best]]
    last = tokens[np.argsort(-ends[tokens], kind="stable")[:n_best]]
    for a in first:
        for b in last:
            if a <= b < a + longest:
                yield Span(spans[a][0], spans[b][1], float(starts[a] + ends[b]))
