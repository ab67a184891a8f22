"""Metrics of tagging: words, and the exact spans that the tags stand for.

Spans are read as conlleval does (Tjong Kim Sang and Buchholz 2000, the CoNLL shared tasks'
script), which takes BIO, IOB1, IOBES and BILOU tags and mends what does not follow its scheme: an
``I-PER`` after ``O`` opens a span. Tags without a prefix are types; a run of one type is a span.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from adapterhub_lite.evaluation import RowSums
from adapterhub_lite_metrics import rates

Values = NDArray[Any]
Span = tuple[str, int, int]

OUTSIDE: Final = "O"
PREFIXES: Final = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S"}
"""The letters of IOB, IOBES, BILOU and BMES, and what they are in IOBES."""


def spans(tags: Sequence[str]) -> Iterator[Span]:
    """Yield the spans of one row: type, first word, word after the last."""
    start, open_type, before = 0, "", OUTSIDE
    for place, tag in enumerate([*tags, OUTSIDE]):
        prefix, kind = _parts(tag)
        goes_on = before in "BI" and prefix in "IE" and kind == open_type
        if before != OUTSIDE and not goes_on:
            yield open_type, start, place
        if prefix != OUTSIDE and not goes_on:
            start, open_type = place, kind
        before = prefix


def _parts(tag: str) -> tuple[str, str]:
    """Return prefix and type; a bare letter is a prefix, any other bare tag a type inside."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    letter, _, kind = tag.partition("-")
    return (PREFIXES[letter], kind) if letter in PREFIXES else ("I", tag)


def _word_hits(truth: Values, decision: Values, scores: Values) -> Values:
    """Return each row's words whose tag is right, and all its words."""
    rows = zip(truth, decision, strict=True)
    counts = [(sum(map(str.__eq__, true, found)), len(true)) for true, found in rows]
    return np.array(counts, dtype=np.float64).reshape(-1, 2)


def _span_counts(truth: Values, decision: Values, scores: Values) -> Values:
    """Return each row's true, found and right spans, by type (rows, 3 x types)."""
    true = [set(spans(tags)) for tags in truth]
    found = [set(spans(tags)) for tags in decision]
    kinds = sorted({kind for row in (*true, *found) for kind, _, _ in row})
    column = {kind: number for number, kind in enumerate(kinds)}
    counts = np.zeros((len(truth), 3, len(kinds)))
    for row, (a, b) in enumerate(zip(true, found, strict=True)):
        for part, some in enumerate((a, b, a & b)):
            for kind, number in Counter(kind for kind, _, _ in some).items():
                counts[row, part, column[kind]] = number
    return counts.reshape(len(truth), -1)


def _share(sums: Values) -> float:
    return float(sums[0] / sums[1]) if sums[1] else np.nan


token_accuracy = RowSums(_word_hits, _share)
"""The share of words whose tag is right."""

span_f1 = RowSums(_span_counts, rates.micro(rates.f1))
span_precision = RowSums(_span_counts, rates.micro(rates.precision))
span_recall = RowSums(_span_counts, rates.micro(rates.recall))
macro_span_f1 = RowSums(_span_counts, rates.macro(rates.f1))
