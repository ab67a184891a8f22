"""One spelling of each text: Unicode NFC, plain single spaces, nothing invisible."""

import re
import unicodedata
from dataclasses import dataclass

from adapterhub_lite.data.table import TextSet

# Control characters, soft hyphen, zero-width space, direction marks, word joiner, byte-order mark.
# The zero-width joiners stay: in Persian, in Indic scripts and in emoji they carry meaning.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)
# Half of a surrogate pair, as a JSON escape can smuggle in: no encoding can write it.
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Normalised:
    """Normalised rows, and how many texts that changed."""

    rows: TextSet
    changed: int


def normalise_text(text: str) -> str:
    """Return the text in NFC, without invisible characters, with single spaces; idempotent."""
    visible = _SURROGATE.sub("\ufffd", _INVISIBLE.sub("", text))
    # NFC comes after the removal, which can bring a letter and its accent together.
    return " ".join(unicodedata.normalize("NFC", visible).split())


def fold(text: str) -> str:
    """Return the form in which texts are compared: normalised, and without case."""
    return normalise_text(text).casefold()


def normalise(rows: TextSet) -> Normalised:
    """Normalise every text; labels were normalised when the cells were read."""
    texts = tuple(map(normalise_text, rows.texts))
    changed = sum(new != old for new, old in zip(texts, rows.texts, strict=True))
    return Normalised(TextSet(texts, rows.labels, rows.multi_label), changed)
