"""What ``ahl predict`` is asked: read from the line, a table, lines of a file or stdin."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from adapterhub_lite.specs import RowKind

if TYPE_CHECKING:
    from adapterhub_lite.catalogue import Catalogue
    from adapterhub_lite.data.inputs import Inputs
    from adapterhub_lite.protocols import Interface

_PAIR: Final = 'a text, and of pairs the other with --second TEXT or both as ["one", "other"]'
TAKES: Final[dict[RowKind, str]] = {
    "labelled-text": _PAIR,
    "valued-text": _PAIR,
    "similar-texts": _PAIR,
    "tagged-words": 'a text, or its words as ["New", "York"]',
    "question": 'a question with --context TEXT or @FILE, or both as ["question", "context"]',
    "document": "a text to go on from",
    "dialogue": 'a text, or messages as [{"role": "user", "content": "hello"}]',
    "source-target": "a text",
}
"""What an input is on the command line."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says of the input."""

    texts: Sequence[str]
    second: str | None
    context: str | None
    file: Path | None
    text: str | None
    columns: dict[str, str]
    form: str | None
    reader: str | None
    encoding: str

    @property
    def is_table(self) -> bool:
        """Whether --file is read by a reader, not line by line."""
        if self.file is None or str(self.file) == "-":
            return False
        return self.file.suffix != ".txt" or self.reader is not None

    def refuse_contradictions(self) -> None:
        """Raise UsageError for options that would be ignored."""
        if self.texts and self.file:
            raise click.UsageError("give texts or --file, not both")
        about_tables = (self.text, self.columns, self.form, self.reader)
        if not self.is_table and any(about_tables):
            raise click.UsageError("--text, --column, --form and --reader are about a --file")
        if self.is_table and (self.second is not None or self.context is not None):
            raise click.UsageError(
                "--second and --context are about texts on the line; in a --file they are columns"
            )
        if self.text is not None and "text" in self.columns:
            raise click.UsageError("the column of 'text' is given twice")

    @property
    def roles(self) -> dict[str, str]:
        """The columns by role."""
        return self.columns | ({} if self.text is None else {"text": self.text})


def role_and_column(values: Sequence[str]) -> dict[str, str]:
    """Parse ROLE=COLUMN; raises BadParameter for another form, and for a role that comes twice."""
    found: dict[str, str] = {}
    for value in values:
        role, equals, column = value.partition("=")
        if not (role and equals and column):
            raise click.BadParameter(f"{value!r} is not of the form ROLE=COLUMN")
        if role in found:
            raise click.BadParameter(f"the column of {role!r} is given twice")
        found[role] = column
    return found


def read_given(
    given: Given, find_interface: "Callable[[], Interface]", catalogue: "Catalogue"
) -> "Inputs":
    """Collect what is asked, from where it was given, as the version's rows ask it.

    A file or stdin is read before the version is looked for. Raises UsageError for a form that
    its rows have not, DataError where there is nothing to read.
    """
    from adapterhub_lite.data.inputs import Inputs, read_inputs
    from adapterhub_lite.data.reading import read_table

    if given.is_table:
        table = read_table(str(given.file), catalogue, reader=given.reader, encoding=given.encoding)
        for note in table.notes:
            click.echo(f"note: {note}", err=True)
        interface = find_interface()
        kind, pairs = interface.rows, interface.pairs
        return read_inputs(table, kind, given.roles, pairs=pairs, form=given.form)
    lines = [] if given.texts else _lines(given.file, given.encoding)
    asker = _asker(given, find_interface())
    items = [*map(asker.spelt, given.texts), *map(asker.line, lines)]
    return Inputs(tuple(items), {}, ({},) * len(items))


def members_named(asked: "Inputs", column: str) -> list[str | None]:
    """Return the members that a column of the input names, row by row; None for an empty cell.

    Raises DataError, with the nearest name, where no such column was left to read.
    """
    from adapterhub_lite.errors import DataError, nearest_name

    if column in asked.columns.values():
        raise DataError(
            f"--member-column: the column {column!r} is read as what is asked",
            hint="say which column is: --text COLUMN",
        )
    known = [*asked.others[0]] if asked.others else [column]
    if column not in known:
        near = nearest_name(column, known)
        raise DataError(
            f"--member-column: there is no column {column!r}",
            hint=f"did you mean {near!r}?" if near else f"there are: {', '.join(known) or 'none'}",
        )
    cells = [row[column] for row in asked.others]
    return [None if cell is None or not str(cell).strip() else str(cell) for cell in cells]


@dataclass(frozen=True, slots=True)
class Asker:
    """Makes inputs of texts, for rows of one kind."""

    kind: RowKind
    second: str | None
    context: str | None
    pairs: bool

    @property
    def takes_context(self) -> bool:
        """Whether a text is a question."""
        return self.kind == "question"

    def plain(self, text: str) -> Any:
        """Return the input that a text is, with the second text or the context."""
        if self.takes_context:
            return text, self.context
        if self.kind == "tagged-words":
            return tuple(text.split())
        return text if self.second is None else (text, self.second)

    def spelt(self, text: str) -> Any:
        """Return the input of a text that may be a JSON list; raises UsageError for a wrong one."""
        items = _json_list(text)
        if items is not None and self.kind == "dialogue":
            return self._messages(items)
        if items is not None and all(isinstance(item, str) for item in items):
            if self.kind == "tagged-words":
                return tuple(items)
            if self._may_be_pair:
                return self._pair(items, text)
        if self.takes_context and self.context is None:
            raise self._wrong(text)
        return self.plain(text)

    def line(self, text: str) -> Any:
        """Return the input of a line; raises UsageError for a question about nothing."""
        if self.takes_context and self.context is None:
            raise self._wrong(text)
        return self.plain(text)

    @property
    def _may_be_pair(self) -> bool:
        return self.second is None and self.context is None and (self.pairs or self.takes_context)

    def _pair(self, items: Sequence[str], text: str) -> tuple[str, str]:
        if len(items) != 2:
            raise self._wrong(text)
        return items[0], items[1]

    def _messages(self, items: Sequence[Any]) -> Any:
        from adapterhub_lite.data.asking import read_messages
        from adapterhub_lite.data.cells import CellError

        try:
            return read_messages(items)
        except CellError as error:
            raise self._wrong(json.dumps(items, ensure_ascii=False), error.problem) from None

    def _wrong(self, text: str, problem: str = "") -> click.UsageError:
        shown = text if len(text) <= 40 else f"{text[:37]}..."
        reason = f": {problem}" if problem else ""
        return click.UsageError(
            f"cannot ask {shown!r}{reason}; the version takes {TAKES[self.kind]}"
        )


def _asker(given: Given, interface: "Interface") -> Asker:
    """Return what makes the inputs; raises UsageError for an option of another kind of rows."""
    kind, pairs = interface.rows, interface.pairs
    takes = TAKES[kind] if pairs or TAKES[kind] != _PAIR else "a text"
    if given.second is not None and not pairs:
        raise click.UsageError(f"--second: the version takes {takes}")
    if given.context is not None and kind != "question":
        raise click.UsageError(f"--context: the version takes {takes}")
    context = given.context
    if context is not None and context.startswith("@"):
        context = _decoded(_bytes_of(Path(context[1:])), given.encoding, context[1:])
    return Asker(kind, given.second, context, pairs)


def _json_list(text: str) -> list[Any] | None:
    if not text.lstrip().startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _lines(file: Path | None, encoding: str) -> list[str]:
    """Return the lines of a file or of stdin, without blank ones."""
    from adapterhub_lite.errors import DataError

    if file is None and sys.stdin.isatty():
        raise click.UsageError("give a text, --file FILE, or lines on stdin")
    from_stdin = file is None or str(file) == "-"
    source = "stdin" if from_stdin else str(file)
    content = sys.stdin.buffer.read() if file is None or from_stdin else _bytes_of(file)
    lines = _decoded(content, encoding, source).split("\n")
    texts = [line.rstrip("\r") for line in lines if line.strip()]
    if not texts:
        raise DataError(f"there are no texts in {source}", hint="give one text a line")
    blank = len(lines) - len(texts) - (lines[-1] == "")
    if blank:
        click.echo(f"{blank} blank lines of {source} are left out", err=True)
    return texts


def _bytes_of(file: Path) -> bytes:
    from adapterhub_lite.errors import DataError

    try:
        return file.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(f"{file}: no such file", path=str(file)) from None


def _decoded(content: bytes, encoding: str, source: str) -> str:
    from adapterhub_lite.errors import DataError

    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{source} is not {encoding} at byte {error.start}", hint="say which: --encoding cp1252"
        ) from error
    except LookupError:
        raise click.UsageError(f"--encoding: there is no encoding {encoding!r}") from None
