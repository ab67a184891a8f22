"""Which rows cannot be used, why, and the rows that are left."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from adapterhub_lite.data.normalise import fold, normalise
from adapterhub_lite.data.table import TextSet


class Flaw(StrEnum):
    """Why a row cannot be used."""

    EMPTY = "empty text"
    UNLABELLED = "missing label"
    CONFLICT = "conflicting labels"
    DUPLICATE = "exact duplicate"


UNUSABLE: Final = frozenset({Flaw.EMPTY, Flaw.UNLABELLED})
"""Flaws of rows that can be neither trained nor tested on."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Normalised rows without flaws, where each stood (from 0), and how many went by flaw."""

    rows: TextSet
    kept: tuple[int, ...]
    removed: Mapping[str, int]


def find_flaws(rows: TextSet) -> dict[Flaw, list[int]]:
    """Return the indices of flawed rows; each row counts once, by the first flaw that fits.

    Texts are compared normalised and without case. In single-label data all rows of a text with
    several labels conflict: nobody knows which is right. Of equal rows the first is no duplicate.
    """
    found: dict[Flaw, list[int]] = {flaw: [] for flaw in Flaw}
    by_text: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(map(fold, rows.texts)):
        if not text:
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


def clean(rows: TextSet, flaws: Collection[Flaw] = frozenset(Flaw)) -> Cleaned:
    """Normalise the rows and drop those with one of ``flaws``, keeping the order.

    Training rows lose all flaws. Test rows lose what is :data:`UNUSABLE` only, so that scores stay
    comparable with those that others report on the same test set.
    """
    found = {flaw: indices for flaw, indices in find_flaws(rows).items() if flaw in flaws}
    dropped = {index for indices in found.values() for index in indices}
    kept = tuple(index for index in range(len(rows)) if index not in dropped)
    removed = {flaw.value: len(indices) for flaw, indices in found.items() if indices}
    return Cleaned(normalise(rows).rows.select(kept), kept, removed)
