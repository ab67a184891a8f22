"""A few rows of each class."""

from collections import Counter
from collections.abc import Sequence

from adapterhub_lite.data.hashing import rank
from adapterhub_lite.data.table import TextSet
from adapterhub_lite.errors import DataError

_LISTED = 8


def require_shots(rows: TextSet, shots: int) -> None:
    """Raise DataError, naming the classes, when some have fewer than ``shots`` rows."""
    counts = Counter(label for labels in rows.labels for label in labels)
    short = sorted((count, label) for label, count in counts.items() if count < shots)
    if not short:
        return
    listed = ", ".join(f"{label} ({count})" for count, label in short[:_LISTED])
    more = f" and {len(short) - _LISTED} more" if len(short) > _LISTED else ""
    raise DataError(
        f"fewer than {shots} rows of: {listed}{more}",
        hint=f"lower --shots to {short[0][0]}, or add rows of these classes",
    )


def sample_shots(rows: TextSet, shots: int, seed: int) -> TextSet:
    """Return ``shots`` rows of each class, class by class.

    The rows of a class are ordered by :func:`~adapterhub_lite.data.hashing.rank` of
    ``("shots", seed, class, text)`` and the first are taken, so neither other classes nor the order
    of the rows matter. Multi-label rows count for each of their labels: from the rarest label to
    the commonest, rows are taken until it has ``shots``; then as many rows that carry none, as far
    as there are. Raises DataError as :func:`require_shots`.
    """
    require_shots(rows, shots)
    counts = Counter(label for labels in rows.labels for label in labels)
    # In single-label data no row serves two classes, so the order of the classes is free.
    keys = rows.keys
    order = sorted(counts, key=lambda label: (counts[label] if rows.multi_label else 0, label))
    taken: dict[int, None] = {}
    for label in order:
        have = sum(label in rows.labels[index] for index in taken)
        free = _ordered(keys, [i for i, own in enumerate(rows.labels) if label in own], label, seed)
        taken |= dict.fromkeys([i for i in free if i not in taken][: max(0, shots - have)])
    if rows.multi_label:
        none = _ordered(keys, [i for i, own in enumerate(rows.labels) if not own], "", seed)
        taken |= dict.fromkeys(none[:shots])
    return rows.select(list(taken))


def _ordered(keys: Sequence[str], indices: list[int], label: str, seed: int) -> list[int]:
    return sorted(indices, key=lambda index: rank("shots", seed, label, keys[index]))
