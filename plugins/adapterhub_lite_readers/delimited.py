"""CSV and TSV, every line of which has to have as many cells as the first."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError
from adapterhub_lite_readers.text import read_text

DELIMITERS: Final = (",", ";", "\t", "|")
"""What is looked for in a header that the expected delimiter does not divide."""


class CsvReader:
    """Reads CSV as RFC 4180 has it; ``;``, tabs and ``|`` between cells are recognised."""

    def accepts(self, path: Path) -> bool:
        """Refuse folders."""
        return False

    def read(self, path: Path, encoding: str) -> Table:
        """Read all rows; raises DataError with the line that is broken."""
        text = read_text(path, encoding)
        dialect = _dialect(path, text, ",")
        return _table(path, _records(path, text, dialect), dialect.notes)


class TsvReader:
    """Reads TSV: with cells quoted as in CSV, or with quotes that are plain characters."""

    def accepts(self, path: Path) -> bool:
        """Refuse folders."""
        return False

    def read(self, path: Path, encoding: str) -> Table:
        """Read all rows; raises DataError with the line that is broken."""
        text = read_text(path, encoding)
        dialect = _dialect(path, text, "\t")
        try:
            return _table(path, _records(path, text, dialect), dialect.notes)
        except DataError as broken:
            # Spreadsheets quote cells of a TSV, most other tools do not: both are around.
            plain = Dialect(dialect.delimiter, quoted=False, notes=dialect.notes)
            try:
                records = _records(path, text, plain)
            except DataError:
                raise broken from None
            note = f"{path}: quotes are plain characters, because as marks they do not match up"
            return _table(path, records, (*plain.notes, note))


@dataclass(frozen=True, slots=True)
class Dialect:
    """How cells are told apart, and what is to be said about it."""

    delimiter: str
    quoted: bool = True
    notes: tuple[str, ...] = ()


def _dialect(path: Path, text: str, expected: str) -> Dialect:
    header = text.lstrip("\r\n").split("\n", 1)[0]
    if expected in header:
        return Dialect(expected)
    best = max(DELIMITERS, key=header.count)
    if best not in header:
        return Dialect(expected)
    note = f"{path}: cells are divided by {best!r}, as the first line has no {expected!r}"
    return Dialect(best, notes=(note,))


def _records(path: Path, text: str, dialect: Dialect) -> list[list[str]]:
    """Return the header and the rows, all of one length; blank lines are passed over."""
    lines = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=dialect.delimiter,
        quoting=csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE,
        strict=True,
    )
    records: list[list[str]] = []
    first_line = 1
    with _cells_of_any_size(text):
        try:
            for record in lines:
                if record:
                    records.append(record)
                    _require_length(path, first_line, records[0], record)
                first_line = lines.line_num + 1
        except csv.Error as error:
            raise _broken(path, first_line, str(error)) from error
    return records


@contextmanager
def _cells_of_any_size(text: str) -> Iterator[None]:
    """Lift the csv module's global limit, 128 KiB a cell, while this text is read."""
    limit = csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _require_length(path: Path, line: int, header: list[str], record: list[str]) -> None:
    if len(record) == len(header):
        return
    cells = "1 cell" if len(record) == 1 else f"{len(record)} cells"
    many = len(record) > len(header)
    raise DataError(
        f"{path}: line {line} has {cells}, the header has {len(header)}",
        path=str(path),
        hint="quote a cell that contains the delimiter" if many else "add the missing cells",
    )


def _broken(path: Path, line: int, problem: str) -> DataError:
    unclosed = "unexpected end of data" in problem
    what = "a quote is opened and never closed" if unclosed else problem
    return DataError(
        f"{path}: line {line}: {what}",
        path=str(path),
        hint='inside a quoted cell a quote is written twice: ""',
    )


def _table(path: Path, records: list[list[str]], notes: tuple[str, ...]) -> Table:
    if not records:
        raise DataError(f"{path}: the file is empty", path=str(path))
    columns = tuple(name.strip() for name in records[0])
    rows = [dict(zip(columns, record, strict=True)) for record in records[1:]]
    return Table(columns, rows, str(path), notes)
