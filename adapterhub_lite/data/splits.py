"""Hold rows out for testing: stratified by label, never parting near-duplicates."""

import math
from collections import Counter
from collections.abc import Sequence

from adapterhub_lite.data.duplicates import NearDuplicates
from adapterhub_lite.data.hashing import rank
from adapterhub_lite.data.table import TextSet
from adapterhub_lite.errors import DataError

Group = tuple[int, ...]


def split(
    rows: TextSet, holdout: float, seed: int, near_duplicate: float = 0.9
) -> tuple[TextSet, TextSet]:
    """Return training rows and held-out rows, each in the order of ``rows``.

    Near-duplicates, and whatever a chain of them connects, stay on one side. Each label gives up
    its share as nearly as its groups allow and keeps a training row at least. Groups are drawn by
    :func:`~adapterhub_lite.data.hashing.rank` of ``("split", seed, *texts)``. Raises DataError when
    nothing can be held out.
    """
    groups = sorted(
        _groups(rows, near_duplicate),
        key=lambda group: rank("split", seed, *sorted(rows.texts[index] for index in group)),
    )
    held = set(_draw(rows, groups, holdout))
    if not held:
        raise DataError(
            f"holding out {holdout:g} of {len(rows)} rows leaves no row to test on",
            hint="hold out a larger share, add rows, or give a test file",
        )
    train = [index for index in range(len(rows)) if index not in held]
    return rows.select(train), rows.select(sorted(held))


def _groups(rows: TextSet, near_duplicate: float) -> list[Group]:
    """Return what has to stay together; most rows are a group of their own."""
    connected = NearDuplicates(rows.texts, near_duplicate).groups()
    grouped = {index for group in connected for index in group}
    return connected + [(index,) for index in range(len(rows)) if index not in grouped]


def _draw(rows: TextSet, groups: Sequence[Group], holdout: float) -> list[int]:
    """Take groups while every label of theirs has room: down to whole shares, then up.

    The second pass hands out what rounding down left over, until the share of all rows is reached.
    """
    totals = Counter(stratum for index in range(len(rows)) for stratum in _strata(rows, index))
    most = max(1, round(holdout * len(rows)))
    taken: Counter[str] = Counter()
    drawn: list[int] = []
    for whole in (math.floor, math.ceil):
        room = {stratum: min(whole(holdout * n), n - 1) for stratum, n in totals.items()}
        rest = []
        for group in groups:
            wanted = Counter(stratum for index in group for stratum in _strata(rows, index))
            fits = all(taken[stratum] + n <= room[stratum] for stratum, n in wanted.items())
            if fits and len(drawn) + len(group) <= most:
                drawn += group
                taken += wanted
            else:
                rest.append(group)
        groups = rest
    return drawn


def _strata(rows: TextSet, index: int) -> tuple[str, ...]:
    """Return the labels of a row; rows that carry none share a stratum that no label can name."""
    return rows.labels[index] or ("",)
