"""Raw documents, and texts that are to be turned into others."""

from collections.abc import Mapping
from typing import Any, Final

from adapterhub_lite.data.cells import as_mapping, text
from adapterhub_lite.data.columns import TEXT_NAMES
from adapterhub_lite.data.examples import Document, SourceTarget
from adapterhub_lite.data.forms import Cells, Form, Role
from adapterhub_lite.data.table import Table

_NESTED: Final = "translation"


def _document(cells: Cells) -> Document:
    return Document(text(cells["text"], "text"))


def _source_target(cells: Cells) -> SourceTarget:
    return SourceTarget(text(cells["source"], "source"), text(cells["target"], "target"))


def _unfold(table: Table) -> Table | None:
    """Return the languages of a ``translation`` column as columns, as `datasets` nests them.

    Which of them is the source nobody can tell, so ``columns`` has to say it.
    """
    if _NESTED not in table.columns:
        return None
    rows: list[Mapping[str, Any] | None] = [as_mapping(row[_NESTED]) for row in table.rows]
    if not any(rows):
        return None
    languages = dict.fromkeys(key for row in rows if row for key in row)
    others = [name for name in table.columns if name != _NESTED and name not in languages]
    inner = [
        {name: row[name] for name in others} | {name: (texts or {}).get(name) for name in languages}
        for row, texts in zip(table.rows, rows, strict=True)
    ]
    return Table((*languages, *others), inner, table.source, table.notes)


DOCUMENTS: Final = (Form("text", (Role("text", TEXT_NAMES),), _document),)
SOURCE_TARGETS: Final = (
    Form(
        "source-target",
        (
            Role("source", ("article", "document", "text", "input", "dialogue")),
            Role("target", ("summary", "highlights", "output")),
        ),
        _source_target,
    ),
    Form("translation", (Role("source"), Role("target")), _source_target, _unfold),
)
