"""Cells become texts and labels."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from adapterhub_lite.data.cells import CellError, as_list, each_row, scalar, short
from adapterhub_lite.data.columns import Columns
from adapterhub_lite.data.normalise import normalise_text
from adapterhub_lite.data.table import Table, TextSet

_FLAGS: Final = {"0": False, "false": False, "1": True, "true": True}


def text_set(
    table: Table, columns: Columns, *, multi_label: bool = False, separator: str = ","
) -> TextSet:
    """Turn the chosen columns into texts and labels.

    Numbers become strings, integral ones without a fraction; true and false are written as JSON
    does; None, NaN and blanks are no label. With ``multi_label`` a cell is a list, a list written
    as JSON or Python, or labels joined by ``separator``. Several label columns (always multi-label)
    hold 0/1 or true/false. Raises DataError with the row's number, counted from 1.
    """
    several = not isinstance(columns.label, str)
    places = [name for name in (columns.text, columns.text2) if name is not None]
    rows = each_row(
        table,
        lambda row: (
            tuple(scalar(row[name]) or "" for name in places),
            _labels(row, columns.label, multi_label, separator),
        ),
    )
    texts = tuple(texts[0] for texts, _ in rows)
    seconds = tuple(texts[1] for texts, _ in rows) if columns.text2 is not None else ()
    labels = tuple(labels for _, labels in rows)
    return TextSet(texts, labels, multi_label or several, seconds)


def _labels(
    row: Mapping[str, Any], column: str | tuple[str, ...], multi_label: bool, separator: str
) -> tuple[str, ...]:
    if not isinstance(column, str):
        return tuple(sorted(normalise_text(name) for name in column if _flag(row[name], name)))
    cell = row[column]
    if multi_label:
        return _many(cell, separator)
    if as_list(cell) is not None:
        raise CellError(f"the label is a list: {short(cell)}", "allow several with --multi-label")
    label = _label(cell)
    return () if label is None else (label,)


def _many(cell: Any, separator: str) -> tuple[str, ...]:
    parts: Iterable[Any] | None = as_list(cell)
    if parts is None:
        parts = cell.split(separator) if isinstance(cell, str) else (cell,)
    found = {label for part in parts if (label := _label(part)) is not None}
    return tuple(sorted(found))


def _label(cell: Any) -> str | None:
    """Return one label as a string, or None where there is none."""
    text = scalar(cell)
    return normalise_text(text) or None if text is not None else None


def _flag(cell: Any, column: str) -> bool:
    text = (scalar(cell) or "").strip().casefold()
    if text not in _FLAGS:
        raise CellError(f"the label column {column!r} holds {short(cell)}, not 0 or 1")
    return _FLAGS[text]
