"""Eighteen rows of every kind, that a tiny model can learn, and rows that nothing learns from."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from adapterhub_lite.data.examples import (
    Dialogue,
    Document,
    Examples,
    Message,
    Question,
    SimilarTexts,
    SourceTarget,
    TaggedWords,
    ValuedText,
)
from adapterhub_lite.data.table import RowSet, TextSet
from adapterhub_lite.specs import ObjectiveSpec, RowKind
from adapterhub_lite.testing.tiny import TINY_ROWS

LABELS: Final = ("fruit", "tool", "music")


def rows_of(kind: RowKind) -> RowSet:
    """Return good rows of a kind."""
    if kind == "labelled-text":
        texts, labels = zip(*TINY_ROWS, strict=True)
        return TextSet(texts, tuple((label,) for label in labels))
    return Examples(kind, tuple(ROWS[kind](text, label) for text, label in TINY_ROWS), {})


def inputs_of(objective: ObjectiveSpec) -> list[Any]:
    """Return what good rows ask; an embedding model embeds texts, one by one."""
    asked = list(rows_of(objective.rows).inputs)
    if objective.task == "sentence-similarity":
        return [first for first, _ in asked]
    return asked


def bad_rows_of(kind: RowKind) -> tuple[RowSet, str]:
    """Return rows that nobody can learn from, and what is wrong with them."""
    good: Any = rows_of(kind)
    if isinstance(good, TextSet):
        return replace(good, labels=(("fruit",),) * len(good)), "all have one label"
    spoil, wrong = SPOILT[kind]
    return replace(good, items=tuple(spoil(item) for item in good.items)), wrong


def _tagged(text: str, label: str) -> TaggedWords:
    words = tuple(text.split())
    return TaggedWords(words, (*("O",) * (len(words) - 1), f"B-{label}"))


def _question(text: str, label: str) -> Question:
    answer = text.split()[-1]
    return Question("this is the", text, (answer,), (len(text) - len(answer),))


def _dialogue(text: str, label: str) -> Dialogue:
    words = text.split()
    answer = Message("assistant", f" {words[-1]} is {words[0]}")
    return Dialogue((Message("user", text), answer), plain=True)


def _similar(text: str, label: str) -> SimilarTexts:
    return SimilarTexts(text, f"please {' '.join(reversed(text.split()))}")


ROWS: Final[Mapping[RowKind, Callable[[str, str], Any]]] = {
    "tagged-words": _tagged,
    "valued-text": lambda text, label: ValuedText(text, float(LABELS.index(label))),
    "question": _question,
    "document": lambda text, label: Document(text),
    "dialogue": _dialogue,
    "source-target": lambda text, label: SourceTarget(text, text.split()[-1]),
    "similar-texts": _similar,
}
"""Kind → a row of it, made from a text and its label."""

SPOILT: Final[Mapping[RowKind, tuple[Callable[[Any], Any], str]]] = {
    "tagged-words": (lambda row: replace(row, tags=("O",) * len(row.words)), "all have one tag"),
    "valued-text": (lambda row: replace(row, value=1.0), "all have one value"),
    "question": (lambda row: replace(row, answers=(), starts=()), "none has an answer"),
    "document": (lambda row: Document(" "), "none has a word"),
    "dialogue": (lambda row: replace(row, messages=row.messages[:1]), "none has an answer"),
    "source-target": (lambda row: replace(row, target=""), "none has a target"),
    "similar-texts": (lambda row: replace(row, value=0.5), "all have one value"),
}
"""Kind → how a row is spoilt, and what is wrong with all rows then."""
