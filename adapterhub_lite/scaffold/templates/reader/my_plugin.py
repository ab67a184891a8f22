"""my-plugin: a reader of INI files, where each section is a row."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ConformanceCase, ReaderSpec

if TYPE_CHECKING:
    from adapterhub_lite.data.table import Table


@hookimpl
def adapterhub_readers() -> Iterable[ReaderSpec]:
    """Offer the reader; it is chosen by the file's ending."""
    yield ReaderSpec(
        name="my-reader",
        summary="INI files: a section is a row, its keys are the columns.",
        implementation="my_plugin:MyReader",
        suffixes=(".ini",),
    )


@hookimpl
def adapterhub_conformance() -> Iterable[ConformanceCase]:
    """Say where the checks find an example of what it reads."""
    example = "my_plugin:write_example"
    yield ConformanceCase(kind="reader", name="my-reader", params={"example": example})


class MyReader:
    """Reads sections as rows."""

    def accepts(self, path: Path) -> bool:
        """Refuse folders: this reader knows files."""
        return False

    def read(self, path: Path, encoding: str) -> Table:
        """Read all rows; raises DataError with the place where reading failed."""
        import configparser

        from adapterhub_lite.data.table import Table
        from adapterhub_lite.errors import DataError

        sections = configparser.ConfigParser(interpolation=None)
        try:
            sections.read_string(path.read_text(encoding=encoding))
        except (configparser.Error, UnicodeDecodeError, LookupError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{path}: {reason}", path=str(path)) from error
        rows = [dict(sections[name]) for name in sections.sections()]
        columns = tuple(dict.fromkeys(key for row in rows for key in row))
        return Table(columns, [{key: row.get(key) for key in columns} for row in rows], str(path))


def write_example(folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    """Write a file into an empty folder; return its path, and the rows that are to be found."""
    file = folder / "tickets.ini"
    text = "[1]\ntext = Où est ma carte ?\nlabel = card\n\n[2]\ntext = Refund, please\n"
    file.write_text(text, encoding="utf-8")
    rows: list[dict[str, Any]] = [
        {"text": "Où est ma carte ?", "label": "card"},
        {"text": "Refund, please", "label": None},
    ]
    return file, rows
