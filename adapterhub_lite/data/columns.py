"""Which column is the text and which the label: as told, by name, or by what is in them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError, nearest_name

TEXT_NAMES: Final = (
    "text",
    "body",
    "comment",
    "content",
    "description",
    "document",
    "input",
    "message",
    "query",
    "question",
    "review",
    "sentence",
    "tweet",
    "utterance",
)
"""Names that a text column is known by; the first one wins over the others."""

LABEL_NAMES: Final = (
    "label",
    "category",
    "class",
    "emotion",
    "intent",
    "labels",
    "sentiment",
    "tag",
    "tags",
    "target",
    "topic",
)
"""Names that a label column is known by; the first one wins over the others."""

PAIR_NAMES: Final = (
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("premise", "hypothesis"),
    ("text1", "text2"),
)
"""Names that the two columns of sentence pairs are known by."""

_LISTED: Final = 20
HINT: Final = "say which they are: --text COLUMN --label COLUMN"


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that matter. Several label columns hold 0 or 1 each and are named as labels."""

    text: str
    label: str | tuple[str, ...]
    text2: str | None = None

    def as_dict(self) -> dict[str, str | tuple[str, ...]]:
        """Return the columns by role."""
        found: dict[str, str | tuple[str, ...]] = {"text": self.text, "label": self.label}
        return found if self.text2 is None else {**found, "text2": self.text2}


def find_columns(
    table: Table,
    text: str | None = None,
    label: str | Sequence[str] | None = None,
    text2: str | None = None,
) -> Columns:
    """Find the text and the label column; those that are given must exist.

    By name, ignoring case: "text" and "label" win, any other known name must be the only one. In a
    table of two columns the second follows from the first, or both from their content. Raises
    DataError, listing the columns, when that leaves a doubt.
    """
    given = Given(text, label, text2)
    require_columns(table, given.names)
    if len(set(given.names)) < len(given.names):
        raise column_error(table, "one column cannot have two roles", hint=HINT)
    free = [name for name in table.columns if name not in given.names]
    text = text if text is not None else _by_name(table, free, TEXT_NAMES, "text")
    chosen = given.label if given.label else _by_name(table, free, LABEL_NAMES, "label")
    if text is None or chosen is None:
        rest = [name for name in table.columns if name != text2]
        text, chosen = _by_elimination(table, rest, text, chosen)
    return Columns(text, chosen, text2)


def find_pair(table: Table) -> tuple[str, str] | None:
    """Return the two text columns of a table of sentence pairs, found by name; None for others."""
    names = {name.strip().casefold(): name for name in table.columns}
    found = [(names[a], names[b]) for a, b in PAIR_NAMES if a in names and b in names]
    return found[0] if len(found) == 1 else None


def find_text_column(table: Table, text: str | None = None) -> str:
    """Find the text column of rows that need no label; raises DataError as :func:`find_columns`."""
    if text is not None:
        require_columns(table, [text])
        return text
    found = _by_name(table, table.columns, TEXT_NAMES, "text")
    if found is None and len(table.columns) == 1:
        found = table.columns[0]
    if found is None:
        raise column_error(
            table, "cannot tell which column is the text", hint="choose: --text COLUMN"
        )
    return found


class Given:
    """What the user said about the columns; a list of one label column is one column of labels."""

    def __init__(
        self, text: str | None, label: str | Sequence[str] | None, text2: str | None = None
    ) -> None:
        self.label = label if isinstance(label, str) or label is None else tuple(label)
        labels = (self.label,) if isinstance(self.label, str) else self.label or ()
        self.names = (*(name for name in (text, text2) if name is not None), *labels)


def require_columns(table: Table, names: Collection[str], otherwise: str = HINT) -> None:
    """Raise DataError, with the nearest name, when the table lacks a column."""
    for name in names:
        if name not in table.columns:
            near = nearest_name(name, table.columns)
            hint = f"did you mean {near!r}?" if near else otherwise
            raise column_error(table, f"no column {name!r}", hint=hint)


def _by_name(table: Table, free: Sequence[str], known: tuple[str, ...], role: str) -> str | None:
    found = [name for name in free if name.strip().casefold() in known]
    first = [name for name in found if name.strip().casefold() == known[0]]
    if len(first) == 1:
        return first[0]
    if len(found) > 1:
        listed = " or ".join(repr(name) for name in found)
        raise column_error(
            table, f"the {role} may be in {listed}", hint=f"choose: --{role} {found[0]}"
        )
    return found[0] if found else None


def _by_elimination(
    table: Table, rest: Sequence[str], text: str | None, label: str | tuple[str, ...] | None
) -> tuple[str, str | tuple[str, ...]]:
    if len(rest) == 2:
        first, second = rest
        if isinstance(label, str):
            return (second if label == first else first), label
        if text is not None:
            return text, (second if text == first else first)
        for pair in ((first, second), (second, first)):
            if _looks_right(table, *pair):
                return pair
    missing = [f"the {role}" for role, found in (("text", text), ("label", label)) if found is None]
    raise column_error(
        table, f"cannot tell which column is {' and which '.join(missing)}", hint=HINT
    )


def _looks_right(table: Table, text: str, label: str) -> bool:
    """Whether texts are long and varied while labels are short and repeat."""
    texts = [str(row[text]) for row in table.rows]
    labels = [str(row[label]) for row in table.rows]
    repeat = 2 * len(set(labels)) <= len(labels)
    varied = len(set(texts)) > len(set(labels))
    longer = sum(map(len, texts)) >= 2 * sum(map(len, labels))
    if not (repeat and varied and longer):
        return False
    if label in labels:
        raise DataError(
            f"{table.source}: the first line looks like a row, not like the names of the columns",
            path=table.source,
            hint="put a line with the names first: text,label",
        )
    return True


def column_error(table: Table, what: str, *, hint: str) -> DataError:
    """Return an error about a table that lists its columns."""
    listed = ", ".join(repr(name) for name in table.columns[:_LISTED])
    more = len(table.columns) - _LISTED
    ending = f" and {more} more" if more > 0 else ""
    return DataError(
        f"{table.source}: {what}; the columns are {listed}{ending}", path=table.source, hint=hint
    )
