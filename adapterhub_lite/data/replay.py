"""Rows of an earlier task that are trained on again, so that it is not forgotten."""

import json
from collections.abc import Sequence
from typing import Final

from adapterhub_lite.data.clean import Cleaned, clean, identities
from adapterhub_lite.data.duplicates import NearDuplicates
from adapterhub_lite.data.hashing import rank
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import DataError

HELD: Final = "near-duplicate of a held-out row"
TRAINED: Final = "exact duplicate of a training row"


def draw_replay(
    replay: RowSet,
    share: float,
    train: RowSet,
    held: Sequence[RowSet],
    near_duplicate: float,
    seed: int,
) -> Cleaned[RowSet]:
    """Return rows that make up ``share`` of all training rows, or all where there are fewer.

    Rows that training has already, and near-duplicates of rows that are ``held`` out, are left
    out first. Rows are drawn by :func:`~adapterhub_lite.data.hashing.rank` of ``("replay", seed,
    record)``, a record as ASCII JSON. Raises DataError when nothing is left.
    """
    cleaned = clean(replay)
    rows = cleaned.rows
    trained = set(identities(train))
    known = {i for i, identity in enumerate(identities(rows)) if identity in trained}
    leaks = {i for others in held for i in _near(rows, others, near_duplicate)} - known
    free = [index for index in range(len(rows)) if index not in known | leaks]
    if not free:
        raise DataError(
            "no row of 'replay' is usable and new", hint="see what is wrong: ahl data check FILE"
        )
    records = rows.records
    order = sorted(free, key=lambda index: rank("replay", seed, json.dumps(records[index])))
    drawn = sorted(order[: max(1, round(share / (1 - share) * len(train)))])
    counts = {TRAINED: len(known), HELD: len(leaks)}
    removed = {**cleaned.removed, **{reason: n for reason, n in counts.items() if n}}
    return Cleaned(rows.select(drawn), tuple(cleaned.kept[index] for index in drawn), removed)


def _near(rows: RowSet, others: RowSet, threshold: float) -> set[int]:
    index = NearDuplicates(others.keys, threshold)
    keys = enumerate(rows.keys)
    return {row for row, key in keys if next(index.matches(key), None) is not None}
