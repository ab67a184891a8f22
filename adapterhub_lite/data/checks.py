"""Everything worth knowing about rows before training on them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from adapterhub_lite.data.checked import Checked, flaw_detail
from adapterhub_lite.data.clean import UNUSABLE, Cleaned, find_flaws, identities
from adapterhub_lite.data.duplicates import NearDuplicates
from adapterhub_lite.data.example_checks import check_balance, check_examples, scheme_of, values_of
from adapterhub_lite.data.normalise import normalise
from adapterhub_lite.data.report import DataReport, Finding, SetSummary, ValueRange, WordCounts
from adapterhub_lite.data.rowsets import labels_of
from adapterhub_lite.data.table import RowSet, TextSet
from adapterhub_lite.data.text_checks import CLASS_REASONS, check_classes, check_texts
from adapterhub_lite.specs import RowKind

LONG: Final = 350
"""Words beyond which most encoders, which read 512 tokens, see the beginning of a text only."""

READ_WHOLE: Final[frozenset[RowKind]] = frozenset(
    {"labelled-text", "tagged-words", "valued-text", "similar-texts"}
)
"""Kinds whose rows an encoder has to see as a whole."""


def check(
    train: RowSet,
    test: RowSet | None = None,
    *,
    validation: RowSet | None = None,
    near_duplicate: float = 0.9,
    sources: Sequence[str] = (),
    test_sources: Sequence[str] = (),
    replayed: Sequence[str] = (),
) -> DataReport:
    """Check training rows, and others against them; none has to be cleaned before.

    Findings about near-duplicates, classes and lengths are about the rows that
    :func:`~adapterhub_lite.data.clean.clean` would leave. Row numbers count from 1 in the sets as
    given, and anew in each of the ``sources``, which name the file of each row. ``replayed``
    are classes that training knows from rows of an earlier task.
    """
    trained = Checked.train(train, sources)
    held = [] if validation is None else [Checked.held("validation", validation)]
    if test is not None:
        held.append(Checked.held("test", test, test_sources))
    index = NearDuplicates(trained.rows.keys, near_duplicate)
    findings = [*_check_training(trained, index)]
    known = {*trained.rows.classes, *replayed}
    for rows in held:
        findings += _check_held(rows, known, index)
    summaries = {rows.where: _summary(rows) for rows in held}
    return DataReport(
        near_duplicate,
        _summary(trained),
        summaries.get("test"),
        tuple(findings),
        summaries.get("validation"),
        train.kind,
        scheme_of(trained.rows),
    )


def check_balance_again(report: DataReport, train: RowSet) -> DataReport:
    """Return the report with its findings about classes made about ``train``.

    They are about what is trained on: with rows held out, those are fewer.
    """
    usable = Cleaned(train, tuple(range(len(train))), {})
    others = (finding for finding in report.findings if finding.reason not in CLASS_REASONS)
    about = _balance(Checked("train", train, usable))
    return replace(report, findings=(*others, *about))


def _check_training(trained: Checked, index: NearDuplicates) -> Iterator[Finding]:
    if not len(trained.rows):
        yield _nothing_usable(trained)
    elif isinstance(trained.rows, TextSet):
        yield from check_texts(trained)
    else:
        yield from check_examples(trained)
    yield from _flaws(trained)
    yield from _near_duplicates(trained, index)
    yield from _balance(trained)
    yield from _long_texts(trained)


def _check_held(held: Checked, known: set[str], index: NearDuplicates) -> Iterator[Finding]:
    if not len(held.rows):
        yield _nothing_usable(held)
    yield from _unseen_labels(held, known)
    yield from _leaks(held, index)
    yield from _flaws(held)
    yield from _long_texts(held)


def _balance(trained: Checked) -> Iterator[Finding]:
    if isinstance(trained.rows, TextSet):
        return check_classes(trained)
    return check_balance(trained)


def _summary(rows: Checked) -> SetSummary:
    lengths = sorted(len(key.split()) for key in rows.rows.keys) or [0]
    counts = Counter(label for labels in labels_of(rows.rows) for label in labels)
    values = values_of(rows.rows)
    return SetSummary(
        rows=len(rows.given),
        usable=len(rows.rows),
        normalised=normalise(rows.given).changed,
        classes=dict(sorted(counts.items())),
        words=WordCounts(
            median=lengths[len(lengths) // 2],
            most=lengths[(len(lengths) - 1) * 95 // 100],
            longest=lengths[-1],
        ),
        values=ValueRange(min(values), sum(values) / len(values), max(values)) if values else None,
        sources=Counter(rows.sources),
    )


def _nothing_usable(rows: Checked) -> Finding:
    return Finding(rows.where, "no usable rows", "error", 0, "row", "every row has a flaw")


def _flaws(rows: Checked) -> Iterator[Finding]:
    for flaw, indices in find_flaws(rows.given).items():
        if indices:
            alone = flaw in UNUSABLE
            cases = [[index] for index in indices] if alone else _same(rows.given, indices)
            detail = flaw_detail(flaw, rows.where)
            yield rows.finding_as_given(flaw, "warning", detail, cases, count=len(indices))


def _same(rows: RowSet, indices: Sequence[int]) -> list[list[int]]:
    """Return, for each of ``indices`` that differ, all rows that are compared equal to it."""
    all_of_them = identities(rows)
    cases: dict[str, list[int]] = {all_of_them[index]: [] for index in indices}
    for index, identity in enumerate(all_of_them):
        cases.get(identity, []).append(index)
    return list(cases.values())


def _near_duplicates(trained: Checked, index: NearDuplicates) -> Iterator[Finding]:
    groups = index.groups()
    if not groups:
        return
    detail = "kept, and never parted when rows are held out"
    count = sum(map(len, groups))
    yield trained.finding("near-duplicates", "warning", detail, groups, count=count)
    suspects = _suspects(labels_of(trained.rows), groups, index)
    if suspects and isinstance(trained.rows, TextSet):
        pairs = sorted({(min(pair), max(pair)) for pair in suspects.items()})
        yield trained.finding(
            "near-duplicates with different labels",
            "warning",
            "kept, but one of the labels may be wrong",
            pairs,
            count=len(suspects),
        )


def _suspects(
    labels: Sequence[tuple[str, ...]], groups: Sequence[tuple[int, ...]], index: NearDuplicates
) -> dict[int, int]:
    """Return, for each row that has one, a near-duplicate with other labels."""
    found = {}
    for group in groups:
        if len({labels[row] for row in group}) == 1:
            continue
        for row in group:
            others = (other for other in group if labels[other] != labels[row])
            near = next((other for other in others if index.alike(row, other)), None)
            if near is not None:
                found[row] = near
    return found


def _long_texts(rows: Checked) -> Iterator[Finding]:
    if rows.rows.kind not in READ_WHOLE:
        return
    long = [[index] for index, key in enumerate(rows.rows.keys) if len(key.split()) > LONG]
    if long:
        detail = f"more than {LONG} words: most encoders do not read to the end"
        yield rows.finding("very long texts", "warning", detail, long)


def _unseen_labels(held: Checked, known: set[str]) -> Iterator[Finding]:
    rows = labels_of(held.rows)
    unseen = [[index] for index, labels in enumerate(rows) if not known.issuperset(labels)]
    if unseen:
        names = tuple(label for label in held.rows.classes if label not in known)
        yield held.finding(
            "labels that training does not know",
            "error",
            f"no usable training row is labelled {', '.join(map(repr, names))}",
            unseen,
            labels=names,
        )


def _leaks(held: Checked, index: NearDuplicates) -> Iterator[Finding]:
    leaked = [
        [row]
        for row, key in enumerate(held.rows.keys)
        if next(index.matches(key), None) is not None
    ]
    if leaked:
        yield held.finding(
            "near-duplicates of training rows",
            "warning",
            "kept, but what was trained on is easy to get right: scores come out too high",
            leaked,
        )
