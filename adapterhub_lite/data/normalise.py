"""One spelling of each text: Unicode NFC, plain single spaces, nothing invisible."""

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import Any, Generic, cast

from adapterhub_lite.data.examples import (
    Example,
    Examples,
    SimilarTexts,
    TaggedWords,
    ValuedText,
)
from adapterhub_lite.data.rowsets import R
from adapterhub_lite.data.table import TextSet

# Control characters, soft hyphen, zero-width space, direction marks, word joiner, byte-order mark.
# The zero-width joiners stay: in Persian, in Indic scripts and in emoji they carry meaning.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)
# Half of a surrogate pair, as a JSON escape can smuggle in: no encoding can write it.
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Normalised(Generic[R]):
    """Normalised rows, and how many rows that changed."""

    rows: R
    changed: int


def without_surrogates(text: str) -> str:
    """Return the text with U+FFFD for each half of a surrogate pair; its length stays."""
    return _SURROGATE.sub("\ufffd", text)


def normalise_text(text: str) -> str:
    """Return the text in NFC, without invisible characters, with single spaces; idempotent."""
    visible = without_surrogates(_INVISIBLE.sub("", text))
    # NFC comes after the removal, which can bring a letter and its accent together.
    return " ".join(unicodedata.normalize("NFC", visible).split())


def fold(text: str) -> str:
    """Return the form in which texts are compared: normalised, and without case."""
    return normalise_text(text).casefold()


def normalise(rows: R) -> Normalised[R]:
    """Normalise what a model reads as words; labels were normalised when the cells were read.

    Questions, documents, conversations, sources and targets stay as they are: their spaces and
    lines mean something, offsets count their characters, and they are what is to be written.
    """
    if isinstance(rows, TextSet):
        texts = tuple(map(normalise_text, rows.texts))
        seconds = tuple(map(normalise_text, rows.seconds))
        new: Any = replace(rows, texts=texts, seconds=seconds)
    elif isinstance(rows, Examples):
        new = replace(rows, items=tuple(map(_normalise_item, rows.items)))
    else:
        new = rows
    changed = sum(a != b for a, b in zip(new.keys, rows.keys, strict=True))
    return Normalised(cast("R", new), changed)


def _normalise_item(item: Example) -> Example:
    if isinstance(item, TaggedWords):
        return replace(item, words=tuple(map(normalise_text, item.words)))
    if isinstance(item, ValuedText):
        second = None if item.second is None else normalise_text(item.second)
        return replace(item, text=normalise_text(item.text), second=second)
    if isinstance(item, SimilarTexts):
        return replace(
            item,
            anchor=normalise_text(item.anchor),
            positive=normalise_text(item.positive),
            negative=None if item.negative is None else normalise_text(item.negative),
        )
    return item
