"""A table becomes rows of a kind: its form is found, its columns are named, its cells are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from adapterhub_lite.data import dialogues, questions, tagging, texts, values
from adapterhub_lite.data.cells import each_row, read_extras
from adapterhub_lite.data.columns import Columns, find_columns, find_pair
from adapterhub_lite.data.examples import Examples
from adapterhub_lite.data.forms import Form, find_form, unknown_role
from adapterhub_lite.data.labels import text_set
from adapterhub_lite.data.table import RowSet, Table, TextSet
from adapterhub_lite.errors import RecipeError
from adapterhub_lite.recipes.data import DataSection
from adapterhub_lite.specs import RowKind

LABEL_ROLES: Final[Mapping[RowKind, str]] = {
    "tagged-words": "tags",
    "valued-text": "value",
    "similar-texts": "value",
}
"""The role of the column that a recipe calls ``label``."""


@dataclass(frozen=True, slots=True)
class FormColumns:
    """How rows were written, and their columns by role; ``needed`` are those no file may lack."""

    form: str
    roles: Mapping[str, str]
    needed: Mapping[str, str]

    def as_dict(self) -> dict[str, str | tuple[str, ...]]:
        """Return the columns by role."""
        return dict(self.roles)


FoundColumns: TypeAlias = Columns | FormColumns


def forms_of(kind: RowKind, section: DataSection, *, pairs: bool) -> tuple[Form, ...]:
    """Return the forms that rows of a kind may have; none for labelled texts."""
    forms: Mapping[RowKind, tuple[Form, ...]] = {
        "labelled-text": (),
        "tagged-words": tagging.FORMS,
        "valued-text": values.VALUED_PAIRS if pairs else values.VALUED,
        "question": questions.FORMS,
        "document": texts.DOCUMENTS,
        "dialogue": dialogues.FORMS,
        "source-target": texts.SOURCE_TARGETS,
        "similar-texts": values.similar_forms(section.scale),
    }
    return forms[kind]


def require_fitting_keys(section: DataSection, kind: RowKind, *, pairs: bool) -> None:
    """Raise RecipeError for a key that means nothing to rows of this kind: none is ignored."""
    labelled = kind == "labelled-text"
    odd: Mapping[str, bool] = {
        "shots": section.shots is not None and not labelled,
        "multi_label": section.multi_label and not labelled,
        "form": section.form is not None and labelled,
        "scale": section.scale is not None and kind != "similar-texts",
    }
    for name, given in odd.items():
        if given:
            raise RecipeError(f"{name!r} means nothing to rows of {kind}", field=f"data.{name}")
    if section.text2 is not None and not pairs:
        raise RecipeError(
            "'text2' is for sentence pairs, and what is trained reads one text",
            field="data.text2",
            hint="leave it out, or choose an objective that takes pairs",
        )


def read_rows(
    table: Table,
    kind: RowKind,
    section: DataSection,
    *,
    pairs: bool = False,
    like: FoundColumns | None = None,
    extras: bool = False,
) -> tuple[RowSet, FoundColumns]:
    """Return a table's rows, and where they were found.

    ``like``: read the columns that another table was read from. ``extras``: keep the section's
    further columns. Raises DataError with the number of a row that cannot be read, RecipeError for
    a role or form that does not exist.
    """
    names = section.extras if extras else []
    if kind == "labelled-text":
        return _labelled(table, section, names, pairs=pairs, like=like)
    form, given = section.form, _given(section, kind)
    if isinstance(like, FormColumns):
        form, given = like.form, dict(like.needed)
    fit = find_form(table, forms_of(kind, section, pairs=pairs), given, form)

    def read(row: Mapping[str, Any]) -> Any:
        return fit.form.parse({role: row[name] for role, name in fit.columns.items()})

    items = tuple(each_row(fit.table, read))
    rows: Examples[Any] = Examples(kind, items, read_extras(fit.table, names))
    return rows, FormColumns(fit.form.name, fit.columns, fit.needed())


def _labelled(
    table: Table,
    section: DataSection,
    extras: list[str],
    *,
    pairs: bool,
    like: FoundColumns | None,
) -> tuple[RowSet, FoundColumns]:
    if isinstance(like, Columns):
        text, label, text2 = like.text, like.label, like.text2
    else:
        given = _labelled_roles(section)
        text, label, text2 = given["text"], given["label"], given["text2"]
        pair = find_pair(table) if pairs and text is None and text2 is None else None
        text, text2 = pair or (text, text2)
    columns = find_columns(table, text, label, text2)
    rows = text_set(
        table, columns, multi_label=section.multi_label, separator=section.label_separator
    )
    read = TextSet(
        rows.texts, rows.labels, rows.multi_label, rows.seconds, read_extras(table, extras)
    )
    return read, columns


def _labelled_roles(section: DataSection) -> dict[str, Any]:
    """Return the columns of labelled texts, told by their keys or under ``columns``."""
    for role in section.columns:
        if role not in ("text", "text2", "label"):
            raise unknown_role(role, ("text", "text2", "label"))
    own = {"text": section.text, "text2": section.text2, "label": section.label}
    return {role: _told_once(section, role, name) for role, name in own.items()}


def _given(section: DataSection, kind: RowKind) -> dict[str, str]:
    """Return the columns that a recipe names, by role."""
    label_role = LABEL_ROLES.get(kind, "")
    if section.label is not None and not label_role:
        raise RecipeError(f"rows of {kind} have no label", field="data.label", hint="leave it out")
    if isinstance(section.label, list):
        raise RecipeError(f"rows of {kind} have one label column", field="data.label")
    own = {"text": section.text, "text2": section.text2, label_role: section.label}
    told = {role: _told_once(section, role, name) for role, name in own.items() if name is not None}
    return {**section.columns, **told}


def _told_once(section: DataSection, role: str, name: Any) -> Any:
    """Return the column of a role, told by its key or under ``columns``; not by both."""
    if name is not None and role in section.columns:
        raise RecipeError(f"the column of {role!r} is given twice", field=f"data.columns.{role}")
    return section.columns.get(role) if name is None else name
