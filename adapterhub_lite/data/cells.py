"""A cell of a table becomes a text, a number or a list; or it is refused."""

import ast
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from adapterhub_lite.data.columns import require_columns
from adapterhub_lite.data.normalise import without_surrogates
from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError

T = TypeVar("T")

# NumPy writes a list of strings without commas, which Python reads as one long string.
_NO_COMMA: Final = re.compile(r"""'\s+'|"\s+"|'\s+"|"\s+'""")


class CellError(Exception):
    """A cell cannot be used; whoever reads the table adds where it stands."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


def each_row(table: Table, read: Callable[[Mapping[str, Any]], T]) -> list[T]:
    """Read every row; a CellError becomes a DataError with the row's number, counted from 1."""
    found = []
    for number, row in enumerate(table.rows, start=1):
        try:
            found.append(read(row))
        except CellError as error:
            message = f"{table.source}: row {number}: {error.problem}"
            raise DataError(message, path=table.source, hint=error.hint) from None
    return found


def read_extras(table: Table, names: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Return further columns as numbers; raises DataError for a cell that holds none."""
    require_columns(table, names)
    return {name: tuple(each_row(table, partial(_extra, name=name))) for name in names}


def _extra(row: Mapping[str, Any], name: str) -> float:
    value = number(row[name], name)
    if math.isnan(value):
        raise CellError(f"the {name} is missing", "every row needs a number there")
    return value


def scalar(cell: Any) -> str | None:
    """Return a cell as text: integral numbers without a fraction, true and false as in JSON.

    None and NaN are no text. Raises CellError for a list or a mapping.
    """
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int):
        return _digits(cell)
    if isinstance(cell, float):
        return _digits(int(cell)) if cell.is_integer() else str(cell)
    raise CellError(f"a cell holds {type(cell).__name__}, not text: {short(cell)}")


def _digits(number: int) -> str:
    try:
        return str(number)
    except ValueError:  # Python writes no integer of more than 4300 digits
        raise CellError("a cell holds a number of thousands of digits") from None


def text(cell: Any, role: str) -> str:
    """Return a cell's text as it stands; empty where there is none.

    Half a surrogate pair, which no encoding can write, becomes U+FFFD; that moves no offset.
    Raises CellError, naming the role, for a list or a mapping.
    """
    if isinstance(cell, list | tuple | Mapping):
        raise CellError(f"the {role} is {named(cell)}, not text: {short(cell)}")
    return without_surrogates(scalar(cell) or "")


def blank(cell: Any) -> bool:
    """Say whether a cell holds nothing: None, NaN, no characters but spaces, no items."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return True
    return not cell.strip() if isinstance(cell, str) else cell in ([], {}, ())


def number(cell: Any, role: str) -> float:
    """Return a finite number, or NaN for a cell that holds nothing (None, blanks).

    Raises CellError for everything else; a NaN that is written down is refused as well.
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return math.nan
    problem = f"the {role} is {short(cell)}, not a number"
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        raise CellError(problem)
    try:
        value = float(cell)
    except (ValueError, OverflowError):
        raise CellError(problem) from None
    if not math.isfinite(value):
        raise CellError(f"the {role} is {short(cell)}, not a finite number")
    return value


def as_list(cell: Any) -> list[Any] | None:
    """Return the list that a cell is or spells; pandas writes lists into CSV as Python does."""
    if isinstance(cell, list | tuple):
        return list(cell)
    value = _spelt(cell, "[", "]")
    return value if isinstance(value, list) else None


def as_mapping(cell: Any) -> Mapping[str, Any] | None:
    """Return the mapping that a cell is or spells as JSON or Python."""
    if isinstance(cell, Mapping):
        return cell
    value = _spelt(cell, "{", "}")
    return value if isinstance(value, dict) else None


def _spelt(cell: Any, first: str, last: str) -> Any:
    if not isinstance(cell, str):
        return None
    stripped = cell.strip()
    if not (stripped.startswith(first) and stripped.endswith(last)):
        return None
    try:
        return json.loads(stripped)
    except (ValueError, RecursionError):
        pass
    try:
        value = ast.literal_eval(stripped)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None
    if _NO_COMMA.search(stripped):
        raise CellError(
            f"a list without commas, as NumPy writes one: {short(cell)}",
            "write it as JSON: column.map(list).map(json.dumps)",
        )
    return value


def named(cell: Any) -> str:
    """Return what a cell is, in JSON's words."""
    if isinstance(cell, bool):
        return "a boolean"
    names: dict[type, str] = {str: "a string", list: "a list", tuple: "a list", dict: "an object"}
    if isinstance(cell, int | float):
        return "a number"
    return "null" if cell is None else names.get(type(cell), type(cell).__name__)


def short(cell: Any) -> str:
    """Return a cell as an error message shows it."""
    try:
        shown = repr(cell)
    except (ValueError, RecursionError):  # an integer of thousands of digits; endless nesting
        shown = f"<{type(cell).__name__}>"
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
