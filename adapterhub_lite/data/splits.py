"""Hold rows out for testing: stratified by label, never parting near-duplicates."""

import math
from collections import Counter
from collections.abc import Sequence

from adapterhub_lite.data.duplicates import NearDuplicates
from adapterhub_lite.data.hashing import rank
from adapterhub_lite.data.rowsets import R, labels_of
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import DataError

Group = tuple[int, ...]
Stratum = tuple[str, str]


def split(rows: R, holdout: float, seed: int, near_duplicate: float = 0.9) -> tuple[R, R]:
    """Return training rows and held-out rows, each in the order of ``rows``.

    As :func:`split_indices`.
    """
    train, held = split_indices(rows, holdout, seed, near_duplicate)
    return rows.select(train), rows.select(held)


def split_indices(
    rows: RowSet,
    holdout: float,
    seed: int,
    near_duplicate: float = 0.9,
    sources: Sequence[str] = (),
) -> tuple[list[int], list[int]]:
    """Return the indices of training rows and of held-out rows, each ascending.

    Near-duplicates, and whatever a chain of them connects, stay on one side. Each label, and each
    of the rows' ``sources``, gives up its share as nearly as its groups allow and keeps a training
    row at least. Groups are drawn by :func:`~adapterhub_lite.data.hashing.rank` of ``("split",
    seed, *keys)``. Raises DataError when nothing can be held out.
    """
    keys = rows.keys
    groups = sorted(
        _groups(keys, near_duplicate),
        key=lambda group: rank("split", seed, *sorted(keys[index] for index in group)),
    )
    held = set(_draw(_strata(rows, sources), groups, holdout))
    if not held:
        raise DataError(
            f"holding out {holdout:g} of {len(rows)} rows leaves no row to test on",
            hint="hold out a larger share, add rows, or give a test file",
        )
    return [index for index in range(len(rows)) if index not in held], sorted(held)


def _groups(keys: Sequence[str], near_duplicate: float) -> list[Group]:
    """Return what has to stay together; most rows are a group of their own."""
    connected = NearDuplicates(keys, near_duplicate).groups()
    grouped = {index for group in connected for index in group}
    return connected + [(index,) for index in range(len(keys)) if index not in grouped]


def _draw(
    strata: Sequence[frozenset[Stratum]], groups: Sequence[Group], holdout: float
) -> list[int]:
    """Take groups while every stratum of theirs has room: down to whole shares, then up.

    The second pass hands out what rounding down left over, until the share of all rows is reached.
    """
    totals = Counter(stratum for row in strata for stratum in row)
    most = max(1, round(holdout * len(strata)))
    taken: Counter[Stratum] = Counter()
    drawn: list[int] = []
    for whole in (math.floor, math.ceil):
        room = {stratum: min(whole(holdout * n), n - 1) for stratum, n in totals.items()}
        rest = []
        for group in groups:
            wanted = Counter(stratum for index in group for stratum in strata[index])
            fits = all(taken[stratum] + n <= room[stratum] for stratum, n in wanted.items())
            if fits and len(drawn) + len(group) <= most:
                drawn += group
                taken += wanted
            else:
                rest.append(group)
        groups = rest
    return drawn


def _strata(rows: RowSet, sources: Sequence[str]) -> list[frozenset[Stratum]]:
    """Return what each row counts for; rows without a label share a stratum no label can name."""
    labels = [frozenset(("label", label) for label in own or ("",)) for own in labels_of(rows)]
    if not sources:
        return labels
    return [own | {("source", name)} for own, name in zip(labels, sources, strict=True)]
