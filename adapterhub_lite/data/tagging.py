"""Words with their tags: how they are written, and the scheme that the tags follow."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias

from adapterhub_lite.data.cells import CellError, as_list, blank, named, scalar, short
from adapterhub_lite.data.examples import TaggedWords
from adapterhub_lite.data.forms import Cells, Form, Role
from adapterhub_lite.data.normalise import normalise_text, without_surrogates

Scheme: TypeAlias = Literal["BIO", "IO", "IOBES", "BILOU", "plain"]

OUTSIDE: Final = "O"
"""The tag of a word that is part of no span."""

_PREFIXED: Final = re.compile(r"[BIESLU]-.+", re.DOTALL)
_NAMES_HINT: Final = (
    "write names, not numbers; a Parquet file or `datasets` folder whose feature is a ClassLabel "
    "is read with its names"
)


def _tagged_words(cells: Cells) -> TaggedWords:
    words, tags = _items(cells["words"], "words"), _items(cells["tags"], "tags")
    if len(words) != len(tags):
        raise CellError(
            f"{_counted(len(words), 'word')} but {_counted(len(tags), 'tag')}",
            f"every word needs one tag; {OUTSIDE} for a word that is part of nothing",
        )
    return TaggedWords(
        tuple(_word(word, place) for place, word in enumerate(words, start=1)),
        tuple(_tag(tag, place) for place, tag in enumerate(tags, start=1)),
    )


FORMS: Final = (
    Form(
        "words-tags",
        (
            Role("words", ("tokens",)),
            Role("tags", ("ner_tags", "labels", "pos_tags", "chunk_tags", "upos")),
        ),
        _tagged_words,
    ),
)


def _items(cell: Any, role: str) -> list[Any]:
    """Return the items of a list, of a list that is spelt out, or between spaces."""
    if blank(cell):
        return []
    found = as_list(cell)
    if found is not None:
        return found
    if isinstance(cell, str):
        return cell.split()
    raise CellError(f"the {role} are {named(cell)}, not a list: {short(cell)}")


def _word(item: Any, place: int) -> str:
    if isinstance(item, list | tuple | dict):
        raise CellError(f"word {place} is {named(item)}: {short(item)}")
    return without_surrogates(scalar(item) or "")


def _tag(item: Any, place: int) -> str:
    if isinstance(item, int | float) and not isinstance(item, bool):
        raise CellError(f"tag {place} is the number {short(item)}", _NAMES_HINT)
    if not isinstance(item, str):
        raise CellError(f"tag {place} is {named(item)}, not a string: {short(item)}")
    tag = normalise_text(item)
    if not tag:
        raise CellError(f"word {place} has no tag", f"{OUTSIDE} is the tag of no span")
    return tag


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def tag_scheme(tags: Sequence[Sequence[str]]) -> Scheme:
    """Return the scheme of the rows' tags.

    BIO (IOB2): B- opens a span, I- goes on with it. IO: no B- at all. IOBES and BILOU also mark
    the last word (E-, L-) and spans of one word (S-, U-). Everything else is plain.
    """
    distinct = {tag for row in tags for tag in row} - {OUTSIDE}
    if not distinct or not all(map(_PREFIXED.fullmatch, distinct)):
        return "plain"
    prefixes = {tag[0] for tag in distinct}
    if prefixes & {"E", "S"}:
        return "plain" if prefixes & {"L", "U"} else "IOBES"
    if prefixes & {"L", "U"}:
        return "BILOU"
    return "BIO" if "B" in prefixes else "IO"


def span_types(tags: Sequence[str], scheme: Scheme) -> Iterator[str]:
    """Yield what the words are part of: the tags without their prefixes, leaving out O."""
    for tag in tags:
        if tag != OUTSIDE:
            yield tag if scheme == "plain" else tag[2:]


def strays(tags: Sequence[str], scheme: Scheme) -> Iterator[int]:
    """Yield the places (from 0) of tags that go on with a span that is not open.

    Every reading of spans has to guess there; the usual one opens a span.
    """
    if scheme in ("plain", "IO"):
        return
    before = OUTSIDE
    for place, tag in enumerate(tags):
        if tag[0] in "IEL" and tag[1:2] == "-":
            opened = before[0] in "BI" and before[1:] == tag[1:]
            if not opened:
                yield place
        before = tag
