"""Everything worth knowing about rows before training on them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from adapterhub_lite.data.clean import UNUSABLE, Cleaned, Flaw, clean, find_flaws
from adapterhub_lite.data.duplicates import NearDuplicates
from adapterhub_lite.data.normalise import fold, normalise, normalise_text
from adapterhub_lite.data.report import (
    DataReport,
    Finding,
    Row,
    SetSummary,
    Where,
    WordCounts,
)
from adapterhub_lite.data.table import TextSet

EXAMPLES: Final = 3
"""How many cases of a finding are shown, and how many rows of each."""

IMBALANCE: Final = 10
"""The largest class may have this many times the rows of the smallest without remark."""

LONG: Final = 350
"""Words beyond which most encoders, which read 512 tokens, see the beginning of a text only."""

_DROPPED: Final = "dropped before training"
_KEPT: Final = "kept, so that scores stay comparable"
_TRAIN_DETAILS: Final[Mapping[Flaw, str]] = {
    Flaw.EMPTY: _DROPPED,
    Flaw.UNLABELLED: _DROPPED,
    Flaw.CONFLICT: "one text, several labels: all its rows are dropped before training",
    Flaw.DUPLICATE: "the first is kept, these are dropped before training",
}
_TEST_DETAILS: Final[Mapping[Flaw, str]] = {
    Flaw.EMPTY: "dropped before testing",
    Flaw.UNLABELLED: "dropped before testing",
    Flaw.CONFLICT: f"one text, several labels: {_KEPT}",
    Flaw.DUPLICATE: _KEPT,
}


def check(
    train: TextSet, test: TextSet | None = None, *, near_duplicate: float = 0.9
) -> DataReport:
    """Check training rows, and test rows against them; neither has to be cleaned before.

    Findings about near-duplicates, classes and lengths are about the rows that :func:`clean` would
    leave. Row numbers count from 1 in the sets as given.
    """
    usable = clean(train)
    index = NearDuplicates(usable.rows.texts, near_duplicate)
    findings = [
        *_too_little(usable.rows),
        *_flaws("train", train, _TRAIN_DETAILS),
        *_near_duplicates(usable, index),
        *_classes(usable.rows),
        *_long_texts("train", usable),
    ]
    summary = None
    if test is not None:
        scored = clean(test, UNUSABLE)
        summary = _summary(test, scored)
        findings += [
            *_unseen_labels(usable.rows, scored),
            *_leaks(usable, scored, index),
            *_flaws("test", test, _TEST_DETAILS),
            *_long_texts("test", scored),
        ]
    return DataReport(near_duplicate, _summary(train, usable), summary, tuple(findings))


def _summary(rows: TextSet, usable: Cleaned) -> SetSummary:
    lengths = sorted(len(text.split()) for text in usable.rows.texts) or [0]
    counts = Counter(label for labels in usable.rows.labels for label in labels)
    return SetSummary(
        rows=len(rows),
        usable=len(usable.rows),
        normalised=normalise(rows).changed,
        classes=dict(sorted(counts.items())),
        words=WordCounts(
            median=lengths[len(lengths) // 2],
            most=lengths[(len(lengths) - 1) * 95 // 100],
            longest=lengths[-1],
        ),
    )


def _too_little(rows: TextSet) -> Iterator[Finding]:
    if not len(rows):
        yield Finding("train", "no usable rows", "error", 0, "row", "every row has a flaw")
    elif not rows.classes:
        yield Finding("train", "no labels", "error", 0, "class", "no row carries a label")
    elif rows.multi_label and all(labels == rows.classes for labels in rows.labels):
        detail = "every row carries every label: there is nothing to tell apart"
        yield Finding("train", "no contrast", "error", len(rows), "row", detail)
    elif not rows.multi_label and len(rows.classes) == 1:
        detail = f"every row is {rows.classes[0]!r}: there is nothing to tell apart"
        yield Finding("train", "only one class", "error", 1, "class", detail)


def _flaws(where: Where, rows: TextSet, details: Mapping[Flaw, str]) -> Iterator[Finding]:
    for flaw, indices in find_flaws(rows).items():
        if indices:
            cases = [[index] for index in indices] if flaw in UNUSABLE else _same(rows, indices)
            examples = _examples(rows, cases)
            yield Finding(where, flaw, "warning", len(indices), "row", details[flaw], examples)


def _same(rows: TextSet, indices: Sequence[int]) -> list[list[int]]:
    """Return, for each text among ``indices``, all rows that have it."""
    cases: dict[str, list[int]] = {fold(rows.texts[index]): [] for index in indices}
    for index, text in enumerate(rows.texts):
        cases.get(fold(text), []).append(index)
    return list(cases.values())


def _near_duplicates(usable: Cleaned, index: NearDuplicates) -> Iterator[Finding]:
    groups = index.groups()
    if not groups:
        return
    yield Finding(
        "train",
        "near-duplicates",
        "warning",
        sum(map(len, groups)),
        "row",
        "kept, and never parted when rows are held out",
        _examples(usable.rows, groups, usable.kept),
    )
    suspects = _suspects(usable.rows, groups, index)
    if suspects:
        pairs = sorted({tuple(sorted(pair)) for pair in suspects.items()})
        yield Finding(
            "train",
            "near-duplicates with different labels",
            "warning",
            len(suspects),
            "row",
            "kept, but one of the labels may be wrong",
            _examples(usable.rows, pairs, usable.kept),
        )


def _suspects(
    rows: TextSet, groups: Sequence[tuple[int, ...]], index: NearDuplicates
) -> dict[int, int]:
    """Return, for each row that has one, a near-duplicate with other labels."""
    found = {}
    for group in groups:
        if len({rows.labels[row] for row in group}) == 1:
            continue
        for row in group:
            others = (other for other in group if rows.labels[other] != rows.labels[row])
            near = next((other for other in others if index.alike(row, other)), None)
            if near is not None:
                found[row] = near
    return found


def _classes(rows: TextSet) -> Iterator[Finding]:
    counts = Counter(label for labels in rows.labels for label in labels)
    if not counts:
        return
    ordered = sorted(counts.items(), key=lambda item: (item[1], item[0]))
    (least, fewest), (most, largest) = ordered[0], ordered[-1]
    if largest >= IMBALANCE * fewest:
        detail = f"{most!r} has {largest} rows, {least!r} has {fewest}: {largest / fewest:.0f} to 1"
        yield Finding("train", "imbalance", "warning", len(counts), "class", detail)
    singles = [label for label, count in ordered if count == 1]
    if singles:
        detail = "one row each: nothing to hold out, and little to learn from"
        yield _about_labels("classes of a single row", singles, detail)
    spellings = _spellings(counts)
    if spellings:
        detail = "they differ in nothing but case, and are still different classes"
        yield _about_labels("labels spelt in several ways", spellings, detail)


def _spellings(labels: Mapping[str, int]) -> list[str]:
    by_fold = Counter(map(str.casefold, labels))
    return sorted(label for label in labels if by_fold[label.casefold()] > 1)


def _about_labels(reason: str, labels: Sequence[str], detail: str) -> Finding:
    return Finding("train", reason, "warning", len(labels), "class", detail, labels=tuple(labels))


def _long_texts(where: Where, usable: Cleaned) -> Iterator[Finding]:
    rows = usable.rows
    long = [index for index, text in enumerate(rows.texts) if len(text.split()) > LONG]
    if long:
        detail = f"more than {LONG} words: most encoders do not read to the end"
        examples = _examples(rows, [[index] for index in long], usable.kept)
        yield Finding(where, "very long texts", "warning", len(long), "row", detail, examples)


def _unseen_labels(train: TextSet, scored: Cleaned) -> Iterator[Finding]:
    rows = scored.rows
    if not len(rows):
        yield Finding("test", "no usable rows", "error", 0, "row", "every row has a flaw")
        return
    known = set(train.classes)
    unseen = [index for index, labels in enumerate(rows.labels) if not known.issuperset(labels)]
    if unseen:
        names = tuple(label for label in rows.classes if label not in known)
        yield Finding(
            "test",
            "labels that training does not know",
            "error",
            len(unseen),
            "row",
            f"no usable training row is labelled {', '.join(map(repr, names))}",
            _examples(rows, [[index] for index in unseen], scored.kept),
            names,
        )


def _leaks(usable: Cleaned, scored: Cleaned, index: NearDuplicates) -> Iterator[Finding]:
    leaked = [
        row
        for row, text in enumerate(scored.rows.texts)
        if next(index.matches(text), None) is not None
    ]
    if leaked:
        yield Finding(
            "test",
            "near-duplicates of training rows",
            "warning",
            len(leaked),
            "row",
            "kept, but what was trained on is easy to get right: scores come out too high",
            _examples(scored.rows, [[row] for row in leaked], scored.kept),
        )


def _examples(
    rows: TextSet, cases: Sequence[Sequence[int]], kept: Sequence[int] | None = None
) -> tuple[tuple[Row, ...], ...]:
    """Describe the first cases; ``kept`` leads back to the rows' places in the set as given."""
    return tuple(
        tuple(
            Row(
                row=(kept[index] if kept else index) + 1,
                text=_short(rows.texts[index]),
                labels=rows.labels[index],
            )
            for index in case[:EXAMPLES]
        )
        for case in cases[:EXAMPLES]
    )


def _short(text: str, width: int = 80) -> str:
    line = normalise_text(text)
    return line if len(line) <= width else f"{line[: width - 1]}…"
