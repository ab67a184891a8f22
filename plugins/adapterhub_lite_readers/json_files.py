"""JSON and JSON Lines: objects whose keys are the columns."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError
from adapterhub_lite_readers.text import read_text


class JsonlReader:
    """Reads an object a line."""

    def accepts(self, path: Path) -> bool:
        """Refuse folders."""
        return False

    def read(self, path: Path, encoding: str) -> Table:
        """Read all rows; raises DataError with the line that is broken."""
        return _table(path, list(_objects(path, read_text(path, encoding))))


class JsonReader:
    """Reads one list of objects."""

    def accepts(self, path: Path) -> bool:
        """Refuse folders."""
        return False

    def read(self, path: Path, encoding: str) -> Table:
        """Read all rows; raises DataError with the place where the JSON is broken."""
        text = read_text(path, encoding)
        if not text.strip():
            return _table(path, [])
        try:
            rows = json.loads(text)
        except (ValueError, RecursionError) as error:
            lines = "Extra data" in str(error) and text.lstrip().startswith("{")
            hint = "it looks like an object a line: --format jsonl" if lines else ""
            raise _error(path, str(error), hint) from error
        if not isinstance(rows, list):
            raise _error(path, f"holds {_name(rows)}, not a list of objects", _FORM)
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, dict):
                raise _error(path, f"item {number} is {_name(row)}, not an object", _FORM)
        return _table(path, rows)


_FORM = 'rows are written as [{"text": "...", "label": "..."}, ...]'
_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}


def _objects(path: Path, text: str) -> Iterator[dict[str, Any]]:
    # Not splitlines(): a JSON string may hold the line separators that Unicode knows.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            array = number == 1 and line.lstrip().startswith("[")
            hint = "it looks like one JSON list: --format json" if array else ""
            problem = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise _error(path, f"line {number}: {problem}", hint) from error
        if not isinstance(row, dict):
            hint = "for one JSON list: --format json" if isinstance(row, list) else ""
            raise _error(path, f"line {number} holds {_name(row)}, not an object", hint)
        yield row


def _name(value: object) -> str:
    return _NAMES.get(type(value), "a number")


def _error(path: Path, problem: str, hint: str = "") -> DataError:
    return DataError(f"{path}: {problem}", path=str(path), hint=hint)


def _table(path: Path, objects: list[dict[str, Any]]) -> Table:
    """Take the keys of all objects as columns; a key that an object lacks is None there."""
    if not objects:
        raise _error(path, "no rows")
    columns = tuple(dict.fromkeys(key for row in objects for key in row))
    return Table(columns, [{key: row.get(key) for key in columns} for row in objects], str(path))
