"""What is done alike with labelled texts and with rows of any other kind."""

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from adapterhub_lite.data.examples import Examples
from adapterhub_lite.data.table import RowSet, TextSet

R = TypeVar("R", bound=RowSet)


def labels_of(rows: RowSet) -> tuple[tuple[str, ...], ...]:
    """Return the labels of each row; none for kinds without labels."""
    if isinstance(rows, TextSet):
        return rows.labels
    if isinstance(rows, Examples):
        return tuple(item.labels for item in rows.items)
    return ((),) * len(rows)


def is_multi_label(rows: RowSet) -> bool:
    """Say whether a row may carry several labels, or none."""
    return isinstance(rows, TextSet) and rows.multi_label


def concatenate(sets: Sequence[R]) -> R:
    """Return the rows of all sets, one after the other; they are alike in kind and in columns.

    Extras that not every set has are left out.
    """
    first = sets[0]
    if len(sets) == 1:
        return first
    names = [name for name in first.extras if all(name in rows.extras for rows in sets)]
    extras = {name: tuple(x for rows in sets for x in rows.extras[name]) for name in names}
    if isinstance(first, TextSet):
        together: Any = _texts(cast("Sequence[TextSet]", sets), extras)
    else:
        parts = cast("Sequence[Examples[Any]]", sets)
        items = tuple(item for rows in parts for item in rows.items)
        together = Examples(first.kind, items, extras)
    return cast("R", together)


def _texts(sets: Sequence[TextSet], extras: dict[str, tuple[Any, ...]]) -> TextSet:
    return TextSet(
        tuple(text for rows in sets for text in rows.texts),
        tuple(labels for rows in sets for labels in rows.labels),
        sets[0].multi_label,
        tuple(text for rows in sets for text in rows.seconds),
        extras,
    )
