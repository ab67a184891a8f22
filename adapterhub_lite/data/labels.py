"""Cells become texts and labels."""

import ast
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from adapterhub_lite.data.columns import Columns
from adapterhub_lite.data.normalise import normalise_text
from adapterhub_lite.data.table import Table, TextSet
from adapterhub_lite.errors import DataError

_FLAGS: Final = {"0": False, "false": False, "1": True, "true": True}


class _CellError(Exception):
    """A cell cannot be used; :func:`text_set` adds where it stands."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


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
    texts, labels = [], []
    for number, row in enumerate(table.rows, start=1):
        try:
            texts.append(_text(row[columns.text]))
            labels.append(_labels(row, columns.label, multi_label, separator))
        except _CellError as error:
            raise DataError(
                f"{table.source}: row {number}: {error.problem}",
                path=table.source,
                hint=error.hint,
            ) from None
    return TextSet(tuple(texts), tuple(labels), multi_label or several)


def _text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    return _scalar(cell) or ""


def _labels(
    row: Mapping[str, Any], column: str | tuple[str, ...], multi_label: bool, separator: str
) -> tuple[str, ...]:
    if not isinstance(column, str):
        return tuple(sorted(normalise_text(name) for name in column if _flag(row[name], name)))
    cell = row[column]
    if multi_label:
        return _many(cell, separator)
    if _as_list(cell) is not None:
        raise _CellError(f"the label is a list: {_short(cell)}", "allow several with --multi-label")
    label = _label(cell)
    return () if label is None else (label,)


def _many(cell: Any, separator: str) -> tuple[str, ...]:
    parts: Iterable[Any] | None = _as_list(cell)
    if parts is None:
        parts = cell.split(separator) if isinstance(cell, str) else (cell,)
    found = {label for part in parts if (label := _label(part)) is not None}
    return tuple(sorted(found))


def _as_list(cell: Any) -> list[Any] | None:
    """Return the list that a cell is or spells; pandas writes lists into CSV as Python does."""
    if isinstance(cell, list | tuple):
        return list(cell)
    if not isinstance(cell, str):
        return None
    text = cell.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return value if isinstance(value, list) else None
    return None


def _label(cell: Any) -> str | None:
    """Return one label as a string, or None where there is none."""
    text = _scalar(cell)
    return normalise_text(text) or None if text is not None else None


def _scalar(cell: Any) -> str | None:
    if cell is None or cell != cell:  # NaN is the one value that differs from itself
        return None
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int):
        return str(cell)
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else str(cell)
    raise _CellError(f"a cell holds {type(cell).__name__}, not text: {_short(cell)}")


def _flag(cell: Any, column: str) -> bool:
    text = (_scalar(cell) or "").strip().casefold()
    if text not in _FLAGS:
        raise _CellError(f"the label column {column!r} holds {_short(cell)}, not 0 or 1")
    return _FLAGS[text]


def _short(cell: Any) -> str:
    shown = repr(cell)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
