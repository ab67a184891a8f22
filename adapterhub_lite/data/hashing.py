"""Hashes of content: what data it was, and in which order rows are drawn from it."""

import hashlib
import json

from adapterhub_lite.data.rowsets import is_multi_label
from adapterhub_lite.data.table import RowSet, TextSet


def fingerprint(rows: RowSet) -> str:
    """Return the SHA-256, in hex, of the rows as a multiset: their order does not matter.

    Hashed is ``["text-set", multi_label]``, or ``[kind]`` where rows are no labelled texts, and
    then each row's :attr:`~adapterhub_lite.data.table.RowSet.records`: JSON in ASCII, one a line,
    the rows' lines sorted. Copies of a row count; extras do not.
    """
    lines = sorted(map(json.dumps, rows.records))
    text_set = isinstance(rows, TextSet)
    head = json.dumps(["text-set", is_multi_label(rows)] if text_set else [rows.kind])
    return hashlib.sha256("\n".join([head, *lines]).encode("ascii")).hexdigest()


def rank(purpose: str, seed: int, *content: str) -> bytes:
    """Return the key by which things are ordered when some of them are drawn.

    It is the SHA-256 of ``[purpose, seed, *content]`` as ASCII JSON. A draw takes the lowest keys,
    so it depends on the seed and on what the things are, never on where they stand, and the same
    draw can be made anywhere SHA-256 is.
    """
    return hashlib.sha256(json.dumps([purpose, seed, *content]).encode("ascii")).digest()
