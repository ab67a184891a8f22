"""What is worth knowing about rows of one kind and no other: tags, values, answers, pairs."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from adapterhub_lite.data.checked import Checked
from adapterhub_lite.data.examples import (
    Example,
    Examples,
    Question,
    SimilarTexts,
    TaggedWords,
    ValuedText,
)
from adapterhub_lite.data.normalise import fold
from adapterhub_lite.data.report import Finding, Severity
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.data.tagging import Scheme, span_types, strays, tag_scheme
from adapterhub_lite.data.text_checks import imbalance
from adapterhub_lite.specs import RowKind

ONE_TRUTH: Final[frozenset[RowKind]] = frozenset(
    {"tagged-words", "valued-text", "question", "similar-texts"}
)
"""Kinds whose rows have one right answer; a conversation may go on in many ways."""


def scheme_of(rows: RowSet) -> Scheme | None:
    """Return the scheme that the tags follow; None for rows without tags."""
    return tag_scheme(_tags(rows)) if rows.kind == "tagged-words" else None


def values_of(rows: RowSet) -> list[float]:
    """Return the numbers of rows that have one."""
    found = [item.value for item in _items(rows) if isinstance(item, ValuedText | SimilarTexts)]
    return [value for value in found if value is not None]


def check_examples(trained: Checked) -> Iterator[Finding]:
    """Say why nothing can be learnt from the rows, and which of them are doubtful."""
    yield from _one_tag(trained)
    yield from _one_value(trained)
    yield from _stray_tags(trained)
    yield from _different_truths(trained)
    yield from _equal_texts(trained)
    yield from _unanswerable(trained)


def check_balance(trained: Checked) -> Iterator[Finding]:
    """Say whether some tags are very much rarer than others; O does not count."""
    tags = _tags(trained.rows)
    scheme = tag_scheme(tags)
    counts = Counter(name for row in tags for name in span_types(row, scheme))
    if counts:
        yield from imbalance(counts, "word")


def _items(rows: RowSet) -> Sequence[Example]:
    return rows.items if isinstance(rows, Examples) else ()


def _tags(rows: RowSet) -> list[tuple[str, ...]]:
    return [item.tags for item in _items(rows) if isinstance(item, TaggedWords)]


def _one_tag(trained: Checked) -> Iterator[Finding]:
    tags = trained.rows.classes
    if trained.rows.kind == "tagged-words" and len(tags) == 1:
        detail = f"every word is {tags[0]!r}: there is nothing to tell apart"
        yield Finding("train", "only one tag", "error", 1, "class", detail)


def _one_value(trained: Checked) -> Iterator[Finding]:
    values = values_of(trained.rows)
    if len(values) == len(trained.rows) and len(set(values)) == 1:
        severity: Severity = "error" if trained.rows.kind == "valued-text" else "warning"
        detail = f"every row has {values[0]:g}: there is nothing to tell apart"
        count = len(values)
        yield Finding("train", "only one value", severity, count, "row", detail)


def _stray_tags(trained: Checked) -> Iterator[Finding]:
    tags = _tags(trained.rows)
    scheme = tag_scheme(tags)
    counts = [len(list(strays(row, scheme))) for row in tags]
    found = [[index] for index, count in enumerate(counts) if count]
    if found:
        places = sum(counts)
        detail = f"{places} tags such as I- without a B- before them: read as the start of a span"
        yield trained.finding("spans that nothing opens", "warning", detail, found)


def _different_truths(trained: Checked) -> Iterator[Finding]:
    if trained.rows.kind not in ONE_TRUTH:
        return
    items = _items(trained.rows)
    same: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        same[json.dumps(item.input)].append(index)
    cases = [rows for rows in same.values() if len({items[row].truth for row in rows}) > 1]
    if cases:
        yield trained.finding(
            "one text, several answers",
            "warning",
            "kept, but not more than one of them can be learnt",
            cases,
            count=sum(map(len, cases)),
        )


def _equal_texts(trained: Checked) -> Iterator[Finding]:
    equal = [
        [index]
        for index, item in enumerate(_items(trained.rows))
        if isinstance(item, SimilarTexts)
        and (
            fold(item.anchor) == fold(item.positive)
            or (item.negative is not None and fold(item.positive) == fold(item.negative))
        )
    ]
    if equal:
        detail = "two texts of the row are the same: there is nothing to learn from them"
        yield trained.finding("pairs of equal texts", "warning", detail, equal)


def _unanswerable(trained: Checked) -> Iterator[Finding]:
    items = _items(trained.rows)
    if items and all(isinstance(item, Question) and not item.answers for item in items):
        detail = "no question has an answer: there is nothing to find"
        yield Finding("train", "no answers", "error", len(items), "row", detail)
