"""What is worth knowing about labelled texts alone: their classes."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from adapterhub_lite.data.checked import Checked
from adapterhub_lite.data.report import Finding
from adapterhub_lite.data.table import TextSet

IMBALANCE: Final = 10
"""The largest class may have this many times the rows of the smallest without remark."""

CLASS_REASONS: Final = frozenset(
    {"imbalance", "classes of a single row", "labels spelt in several ways"}
)
"""The reasons of findings about how many rows the classes have."""


def check_texts(trained: Checked) -> Iterator[Finding]:
    """Say why nothing can be learnt from the labels."""
    rows = trained.rows
    assert isinstance(rows, TextSet), "other kinds have checks of their own"
    if not rows.classes:
        yield Finding("train", "no labels", "error", 0, "class", "no row carries a label")
    elif rows.multi_label and all(labels == rows.classes for labels in rows.labels):
        detail = "every row carries every label: there is nothing to tell apart"
        yield Finding("train", "no contrast", "error", len(rows), "row", detail)
    elif not rows.multi_label and len(rows.classes) == 1:
        detail = f"every row is {rows.classes[0]!r}: there is nothing to tell apart"
        yield Finding("train", "only one class", "error", 1, "class", detail)


def check_classes(trained: Checked) -> Iterator[Finding]:
    """Say which classes are rare, and which are probably one."""
    rows = trained.rows
    assert isinstance(rows, TextSet), "other kinds have checks of their own"
    counts = Counter(label for labels in rows.labels for label in labels)
    if not counts:
        return
    yield from imbalance(counts, "row")
    singles = sorted(label for label, count in counts.items() if count == 1)
    if singles:
        detail = "one row each: nothing to hold out, and little to learn from"
        yield trained.about_labels("classes of a single row", singles, detail)
    spellings = _spellings(counts)
    if spellings:
        detail = "they differ in nothing but case, and are still different classes"
        yield trained.about_labels("labels spelt in several ways", spellings, detail)


def imbalance(counts: Mapping[str, int], unit: str) -> Iterator[Finding]:
    """Say whether the largest of the classes is very much larger than the smallest."""
    ordered = sorted(counts.items(), key=lambda item: (item[1], item[0]))
    (least, fewest), (most, largest) = ordered[0], ordered[-1]
    if largest >= IMBALANCE * fewest:
        detail = f"{most!r} has {largest} {unit}s, {least!r} has {fewest}: "
        detail += f"{largest / fewest:.0f} to 1"
        yield Finding("train", "imbalance", "warning", len(counts), "class", detail)


def _spellings(labels: Mapping[str, int]) -> list[str]:
    by_fold = Counter(map(str.casefold, labels))
    return sorted(label for label in labels if by_fold[label.casefold()] > 1)
