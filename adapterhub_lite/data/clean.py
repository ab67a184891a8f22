"""Which rows cannot be used, why, and the rows that are left."""

import json
import math
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic

from adapterhub_lite.data.examples import (
    Dialogue,
    Document,
    Example,
    Examples,
    Question,
    SimilarTexts,
    SourceTarget,
    TaggedWords,
    ValuedText,
)
from adapterhub_lite.data.normalise import fold, normalise, normalise_text
from adapterhub_lite.data.rowsets import R
from adapterhub_lite.data.table import RowSet, TextSet


class Flaw(StrEnum):
    """Why a row cannot be used."""

    EMPTY = "empty text"
    UNLABELLED = "missing label"
    UNVALUED = "missing value"
    UNANSWERED = "missing target"
    BLANK_WORD = "blank word"
    CONFLICT = "conflicting labels"
    DUPLICATE = "exact duplicate"


UNUSABLE: Final = frozenset(Flaw) - {Flaw.CONFLICT, Flaw.DUPLICATE}
"""Flaws of rows that can be neither trained nor tested on."""

_OF_TEXTS: Final = (Flaw.EMPTY, Flaw.UNLABELLED, Flaw.CONFLICT, Flaw.DUPLICATE)


@dataclass(frozen=True, slots=True)
class Cleaned(Generic[R]):
    """Normalised rows without flaws, where each stood (from 0), and how many went by flaw."""

    rows: R
    kept: tuple[int, ...]
    removed: Mapping[str, int]


def clean(rows: R, flaws: Collection[Flaw] = frozenset(Flaw)) -> Cleaned[R]:
    """Normalise the rows and drop those with one of ``flaws``, keeping the order.

    Training rows lose all flaws. Test rows lose what is :data:`UNUSABLE` only, so that scores stay
    comparable with those that others report on the same test set.
    """
    found = {flaw: indices for flaw, indices in find_flaws(rows).items() if flaw in flaws}
    dropped = {index for indices in found.values() for index in indices}
    kept = tuple(index for index in range(len(rows)) if index not in dropped)
    removed = {flaw.value: len(indices) for flaw, indices in found.items() if indices}
    return Cleaned(normalise(rows).rows.select(kept), kept, removed)


def find_flaws(rows: RowSet) -> dict[Flaw, list[int]]:
    """Return the indices of flawed rows; each row counts once, by the first flaw that fits.

    Labelled texts are compared normalised and without case, and in single-label data all rows of a
    text with several labels conflict: nobody knows which is right. Rows of other kinds are
    compared as they are trained on. Of equal rows the first is no duplicate.
    """
    if isinstance(rows, TextSet):
        return _flaws_of_texts(rows)
    assert isinstance(rows, Examples), "rows are labelled texts or examples"
    return _flaws_of_examples(rows)


def identities(rows: RowSet) -> list[str]:
    """Return what rows are compared by: equal for duplicates, and for texts that conflict."""
    if isinstance(rows, TextSet):
        return list(map(fold, rows.keys))
    return list(map(json.dumps, normalise(rows).rows.records))


def _flaws_of_texts(rows: TextSet) -> dict[Flaw, list[int]]:
    found: dict[Flaw, list[int]] = {flaw: [] for flaw in _OF_TEXTS}
    by_text: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(identities(rows)):
        texts = (rows.texts[index], rows.seconds[index]) if rows.seconds else (text,)
        if _any_empty(*texts):
            found[Flaw.EMPTY].append(index)
        elif not rows.labels[index] and not rows.multi_label:
            found[Flaw.UNLABELLED].append(index)
        else:
            by_text[text].append(index)
    for indices in by_text.values():
        distinct = {rows.labels[index]: index for index in reversed(indices)}
        if len(distinct) > 1 and not rows.multi_label:
            found[Flaw.CONFLICT] += indices
        else:
            first = set(distinct.values())
            found[Flaw.DUPLICATE] += [index for index in indices if index not in first]
    return {flaw: sorted(indices) for flaw, indices in found.items()}


def _flaws_of_examples(rows: Examples[Any]) -> dict[Flaw, list[int]]:
    found: dict[Flaw, list[int]] = defaultdict(list)
    seen: set[str] = set()
    for index, (item, identity) in enumerate(zip(rows.items, identities(rows), strict=True)):
        flaw = _flaw(item)
        if flaw is None and identity in seen:
            flaw = Flaw.DUPLICATE
        if flaw is None:
            seen.add(identity)
        else:
            found[flaw].append(index)
    return {flaw: found[flaw] for flaw in Flaw if flaw in found}


def _flaw(item: Example) -> Flaw | None:
    """Return why a row cannot be used on its own."""
    if isinstance(item, TaggedWords):
        if not item.words:
            return Flaw.EMPTY
        return Flaw.BLANK_WORD if _any_empty(*item.words) else None
    if _any_empty(*_required_texts(item)):
        return Flaw.EMPTY
    if isinstance(item, ValuedText | SimilarTexts) and math.isnan(item.value or 0):
        return Flaw.UNVALUED
    if isinstance(item, SourceTarget) and _any_empty(item.target):
        return Flaw.UNANSWERED
    return None


def _required_texts(item: Example) -> tuple[str | None, ...]:
    if isinstance(item, ValuedText):
        return item.text, item.second
    if isinstance(item, SimilarTexts):
        return item.anchor, item.positive, item.negative
    if isinstance(item, Question):
        return item.question, item.context
    if isinstance(item, SourceTarget):
        return (item.source,)
    if isinstance(item, Dialogue):
        return tuple(message.content for message in item.messages) or ("",)
    return (item.text,) if isinstance(item, Document) else ()


def _any_empty(*texts: str | None) -> bool:
    """Say whether a text has nothing to see; None is a text that the row does without."""
    return any(text is not None and not normalise_text(text) for text in texts)
