"""Words to sub-words and back: windows over long rows in which every word is read once."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite_tasks.inputs import IGNORED

Spans = list[tuple[int, int]]


def join(words: Sequence[str]) -> tuple[str, Spans]:
    """Return the words joined by spaces, and where each starts and ends in that text."""
    spans: Spans = []
    at = 0
    for word in words:
        spans.append((at, at + len(word)))
        at += len(word) + 1
    return " ".join(words), spans


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a token's span without the spaces that some tokenizers count into it."""
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    return start, start + len(piece.strip())


@dataclass(slots=True)
class _Place:
    """Where a word is read: the window and the token of its first sub-word."""

    start: int
    margin: int
    window: int
    token: int


@dataclass(frozen=True, slots=True)
class WordWindows:
    """Tokenises rows of words. ``max_length`` counts special tokens too."""

    tokenizer: Any
    max_length: int
    segments: bool
    pad: int

    def encode(self, rows: Sequence[Sequence[str]]) -> list[Feature]:
        """Return the windows of each row, a quarter of each shared with the next.

        A window's ``words`` has for each token the number of the word whose first sub-word it is,
        or -1; each word has one such token in one of its row's windows, that with most context
        around it. A word that the tokenizer knows no token for has none.
        """
        if not rows:
            return []
        joined = [join(words) for words in rows]
        encoded = self.tokenizer(
            [text or " " for text, _ in joined],
            truncation=True,
            max_length=self.max_length,
            stride=self.max_length // 4,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_token_type_ids=self.segments,
            return_attention_mask=False,
        )
        windows: list[list[int]] = [[] for _ in rows]
        for number, row in enumerate(encoded["overflow_to_sample_mapping"]):
            windows[row].append(number)
        features = []
        for row, (text, spans) in enumerate(joined):
            offsets = [encoded["offset_mapping"][number] for number in windows[row]]
            heads = _first_tokens(text, spans, offsets)
            for number, words in zip(windows[row], heads, strict=True):
                features.append(self._feature(encoded, number, row, words))
        return features

    def _feature(self, encoded: Any, number: int, row: int, words: list[int]) -> Feature:
        ids = list(encoded["input_ids"][number]) or [self.pad]
        feature = {
            "input_ids": ids,
            "words": words or [-1],
            "length": len(ids),
            "row": row,
        }
        if self.segments:
            feature["token_type_ids"] = encoded["token_type_ids"][number]
        return feature


def _first_tokens(
    text: str, spans: Spans, windows: Sequence[Sequence[tuple[int, int]]]
) -> list[list[int]]:
    """Return for each window and token the word that is read there, or -1."""
    starts = [start for start, _ in spans]
    places: dict[int, _Place] = {}
    for window, offsets in enumerate(windows):
        for token, (begin, end) in enumerate(offsets):
            start, end = trimmed(text, begin, end)
            if start == end:
                continue
            word = bisect_right(starts, start) - 1
            margin = min(token, len(offsets) - 1 - token)
            known = places.get(word)
            if known is None or (start, -margin) < (known.start, -known.margin):
                places[word] = _Place(start, margin, window, token)
    heads = [[-1] * len(offsets) for offsets in windows]
    for word, place in places.items():
        heads[place.window][place.token] = word
    return heads


def labels_of(feature: Feature, tags: Sequence[int]) -> list[int]:
    """Return a label for each token: the tag's number at a word's first sub-word, else -100."""
    return [IGNORED if word < 0 else tags[word] for word in feature["words"]]
