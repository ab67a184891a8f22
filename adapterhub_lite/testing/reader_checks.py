"""What a reader is held to, on an example that its plugin gives.

The conformance case names it: ``params={"example": "package.module:function"}``. The function is
given an empty folder, writes an example there, with letters beyond ASCII where the format allows,
and returns its path and the rows that a reader has to find, as a list of dicts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError
from adapterhub_lite.plugins import one_line
from adapterhub_lite.specs import ReaderSpec
from adapterhub_lite.testing.examples import (
    attacks,
    digests,
    example_writer,
    files_of,
    require_example,
)
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.subject import Subject

GARBAGE: Final = bytes(range(255, 127, -1)) * 8
"""Bytes that no text has, in UTF-8."""
CELLS: Final = (str, int, float, bool, list, dict, type(None))


def check_example_is_read(subject: Subject) -> None:
    """The example is read, row by row, and says where it came from.

    Every row has a cell for every column, None where there is nothing; cells are texts, numbers,
    booleans, lists or None; ``source`` is the path.
    """
    require_example(subject, "its path and the rows that are to be found there")
    path, rows = _example(subject)
    table = _read(subject, path)
    if not isinstance(table, Table):
        raise CheckFailedError(f"read returned {type(table).__name__}, not Table")
    found = [dict(row) for row in table.rows]
    if len(found) != len(rows):
        raise CheckFailedError(f"of {len(rows)} rows {len(found)} are found")
    for number, (row, expected) in enumerate(zip(found, rows, strict=True), 1):
        if row != expected:
            raise CheckFailedError(f"row {number} is {row!r}, and should be {expected!r}")
        if set(row) != set(table.columns):
            raise CheckFailedError(f"row {number} has other keys than the table has columns")
        if wrong := [cell for cell in row.values() if not isinstance(cell, CELLS)]:
            raise CheckFailedError(f"row {number} has a cell of type {type(wrong[0]).__name__}")
    if table.source != str(path):
        raise CheckFailedError(f"source is {table.source!r}, not the path that was read")


def check_what_it_reads_is_declared(subject: Subject) -> None:
    """The spec's suffixes, or ``accepts`` for folders, know the example, and no strange folder.

    Suffixes begin with a dot and are written small. ``accepts`` looks for what marks the layout,
    and raises nothing.
    """
    path, _ = _example(subject)
    spec = subject.offer.spec
    assert isinstance(spec, ReaderSpec), "the suite gives these checks readers"
    for suffix in spec.suffixes:
        if not suffix.startswith(".") or suffix != suffix.casefold():
            raise CheckFailedError(f"the suffix {suffix!r} is not written like '.csv'")
    if path.is_file() and not path.name.casefold().endswith(spec.suffixes or ("\0",)):
        raise CheckFailedError(f"no suffix fits its own example, {path.name}")
    if path.is_dir() and not (spec.folders and subject.implementation.accepts(path)):
        raise CheckFailedError("it does not accept the folder that is its own example")
    strange = subject.folder / "strange"
    strange.mkdir()
    for content in (None, b"nothing known", GARBAGE):
        if content is not None:
            (strange / "notes.xyz").write_bytes(content)
        if spec.folders and subject.implementation.accepts(strange):
            raise CheckFailedError("it accepts a folder that has nothing of its layout")


def check_broken_data_is_refused(subject: Subject) -> None:
    """What is empty, cut off or no data at all raises DataError, which names the place.

    Catch what the parsing library raises, and say in DataError which file and line it is.
    """
    path, rows = _example(subject)
    whole = {file: file.read_bytes() for file in files_of(path)}
    for what in ("empty", "cut off", "garbage"):
        for file, content in whole.items():
            broken = {"empty": b"", "cut off": content[: len(content) // 2], "garbage": GARBAGE}
            file.write_bytes(broken[what])
            table = _read_broken(subject, path, what)
            file.write_bytes(content)
            if table is not None and what == "garbage" and len(table.rows) >= len(rows):
                raise CheckFailedError(f"bytes that are no data are read as rows, in {file.name}")


def check_encoding(subject: Subject) -> None:
    """Text is read in the encoding that is asked for; an unknown one raises DataError.

    Decode with ``encoding``; what cannot be decoded is a DataError, not a question mark.
    """
    path, _ = _example(subject)
    texts = {file: file.read_bytes() for file in files_of(path)}
    try:
        decoded = {file: content.decode() for file, content in texts.items()}
    except UnicodeDecodeError as error:
        raise NotApplicableError("the format is no text") from error
    rows = [dict(row) for row in _read(subject, path).rows]
    for file, text in decoded.items():
        file.write_text(text, encoding="utf-16", newline="")
    found = [dict(row) for row in subject.implementation.read(path, "utf-16").rows]
    if found != rows:
        raise CheckFailedError("in UTF-16 other rows are read than in UTF-8")
    for encoding in ("utf-8", "no-such-encoding"):
        try:
            subject.implementation.read(path, encoding)
        except DataError:
            continue
        except Exception as error:
            raise CheckFailedError(
                f"UTF-16 read as {encoding} raises {type(error).__name__}, not DataError"
            ) from error
        raise CheckFailedError(f"UTF-16 is read as {encoding} without an error")


def check_data_is_unmodified(subject: Subject) -> None:
    """Reading changes no file and adds none, and a second reading finds the same.

    A cache belongs elsewhere.
    """
    path, _ = _example(subject)
    before = digests(subject.folder)
    first, second = _read(subject, path), _read(subject, path)
    if digests(subject.folder) != before:
        raise CheckFailedError("reading changes files beside the data")
    if list(first.rows) != list(second.rows):
        raise CheckFailedError("a second reading finds other rows")


def check_nothing_is_executed(subject: Subject) -> None:
    """Data that is a program is not executed.

    Nothing that is read may be unpickled, evaluated or built from a YAML tag.
    """
    path, _ = _example(subject)
    whole = {file: file.read_bytes() for file in files_of(path)}
    for what, attack, marker in attacks(subject.folder):
        for file, content in whole.items():
            file.write_bytes(attack)
            _read_broken(subject, path, what)
            file.write_bytes(content)
        if marker.exists():
            raise CheckFailedError(f"{what} in place of data is executed")


def _example(subject: Subject) -> tuple[Path, Sequence[dict[str, Any]]]:
    """Write the example into a folder of its own; return its path and its rows."""
    writer = example_writer(subject, check_example_is_read.__name__)
    folder = subject.folder / "example"
    folder.mkdir()
    path, rows = writer(folder)
    return path, rows


def _read(subject: Subject, path: Path) -> Table:
    return subject.implementation.read(path, "utf-8")  # type: ignore[no-any-return]


def _read_broken(subject: Subject, path: Path, what: str) -> Table | None:
    """Read what cannot be read: None for a DataError that names the place."""
    try:
        return _read(subject, path)
    except DataError as error:
        if path.name not in f"{error.path}{error.message}":
            raise CheckFailedError(
                f"for data that is {what} the error does not name the file: {error.message}"
            ) from error
    except OSError:
        pass  # the core says of these which file it was
    except Exception as error:
        raise CheckFailedError(
            f"data that is {what} raises {one_line(error)}, not DataError"
        ) from error
    return None


CHECKS: Final = (
    check_example_is_read,
    check_what_it_reads_is_declared,
    check_broken_data_is_refused,
    check_encoding,
    check_data_is_unmodified,
    check_nothing_is_executed,
)
