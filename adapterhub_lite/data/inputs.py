"""What a model is asked with: rows whose truth nobody knows yet, read as training reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from adapterhub_lite.data.asking import forms_asking, forms_for_training, without_truth
from adapterhub_lite.data.cells import each_row, text
from adapterhub_lite.data.columns import (
    TEXT_NAMES,
    column_error,
    find_pair,
    find_text_column,
    require_columns,
)
from adapterhub_lite.data.forms import Cells, Fit, Form, Role, find_form, unknown_role
from adapterhub_lite.data.normalise import normalise_text, without_surrogates
from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError, RecipeError
from adapterhub_lite.specs import RowKind

TEXT_ROLES: Final[Mapping[RowKind, str]] = {
    "labelled-text": "text",
    "valued-text": "text",
    "similar-texts": "text",
    "tagged-words": "words",
    "document": "text",
    "dialogue": "text",
    "source-target": "source",
}
"""Kinds that a text alone can ask, and the role that it has; a question needs its context too."""

_NORMALISED: Final = frozenset[RowKind](
    {"labelled-text", "valued-text", "similar-texts", "tagged-words"}
)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a table asks, row by row: ``columns`` by role say where it stood.

    ``others`` are the cells of the columns that were not read, the truth among them.
    """

    items: tuple[Any, ...]
    columns: Mapping[str, str]
    others: tuple[Mapping[str, Any], ...]


def read_inputs(
    table: Table,
    kind: RowKind,
    columns: Mapping[str, str],
    *,
    pairs: bool = False,
    form: str | None = None,
) -> Inputs:
    """Return what a table's rows ask a model of a kind of rows; ``columns`` by role are believed.

    An item is a text, a pair of texts, a question with its context, a tuple of words or a list of
    messages. Raises DataError with the number of a row that cannot be read, or where columns leave
    a doubt; RecipeError for a role or form that does not exist.
    """
    if kind == "labelled-text":
        fit = _fit_texts(table, columns, pairs=pairs, form=form)
    else:
        fit = _fit(table, kind, columns, pairs=pairs, name=form)

    def read(row: Mapping[str, Any]) -> Any:
        return fit.form.parse({role: row[name] for role, name in fit.columns.items()})

    names = [name for name in fit.table.columns if name not in fit.columns.values()]
    others = tuple({name: row[name] for name in names} for row in fit.table.rows)
    return Inputs(tuple(each_row(fit.table, read)), fit.columns, others)


def normalise_input(kind: RowKind, item: Any) -> Any:
    """Return an input in the form in which training read and normalised its rows.

    A text that stands for words is split at white space. Raises TypeError, saying what the kind
    takes, for anything else.
    """
    if not _can_ask(kind, item):
        raise TypeError(f"{type(item).__name__}, not {TAKES[kind]}")
    if kind == "tagged-words":
        return tuple(map(normalise_text, words_of(item)))
    clean = normalise_text if kind in _NORMALISED else without_surrogates
    if isinstance(item, str):
        return clean(item)
    return item if kind == "dialogue" else tuple(map(clean, item))


def _can_ask(kind: RowKind, item: Any) -> bool:
    if kind == "question":
        return _are_texts(item) and len(item) == 2
    if isinstance(item, str):
        return True
    if kind == "dialogue":
        return isinstance(item, list | tuple) and len(item) > 0
    if kind == "tagged-words":
        return _are_texts(item)
    return kind in _NORMALISED and _are_texts(item) and len(item) == 2


TAKES: Final[Mapping[RowKind, str]] = {
    "labelled-text": "a text or a pair of texts",
    "valued-text": "a text or a pair of texts",
    "similar-texts": "a text or a pair of texts",
    "tagged-words": "a text or a list of words",
    "question": "a pair of a question and its context",
    "document": "a text",
    "dialogue": "a text or a list of messages",
    "source-target": "a text",
}
"""What a model that was trained on rows of a kind is asked with."""


def words_of(item: str | Sequence[str]) -> tuple[str, ...]:
    """Return the words of a text, or words as they are."""
    return tuple(item.split() if isinstance(item, str) else item)


def _are_texts(item: Any) -> bool:
    return isinstance(item, list | tuple) and all(isinstance(part, str) for part in item)


def _text(cells: Cells) -> Any:
    return text(cells["text"], "text")


def _pair(cells: Cells) -> Any:
    return _text(cells), text(cells["text2"], "text2")


_TEXT: Final = Form("text", (Role("text", TEXT_NAMES),), _text)
_PAIR: Final = Form("pair", (Role("text"), Role("text2")), _pair)


def _fit_texts(table: Table, columns: Mapping[str, str], *, pairs: bool, form: str | None) -> Fit:
    """Find the columns of texts that are to be labelled, as those of labelled texts are found."""
    if form is not None:
        raise RecipeError("'form' means nothing to labelled texts", hint="leave --form out")
    known = ("text", "text2") if pairs else ("text",)
    for role in columns:
        if role not in known:
            raise unknown_role(role, known)
    pair = find_pair(table) if pairs and not columns else None
    if pair is not None:
        return Fit(_PAIR, table, {"text": pair[0], "text2": pair[1]})
    if pairs and not columns:
        _refuse_doubtful_second(table)
    second = columns.get("text2")
    require_columns(table, [] if second is None else [second], "choose: --column text2=COLUMN")
    free = replace(table, columns=tuple(name for name in table.columns if name != second))
    first = find_text_column(free, columns.get("text"))
    if second is None:
        return Fit(_TEXT, table, {"text": first})
    return Fit(_PAIR, table, {"text": first, "text2": second})


def _refuse_doubtful_second(table: Table) -> None:
    """Refuse a second text, which training reads only when told to: asking without it is wrong."""
    found = [name for name in table.columns if name.strip().casefold() == "text2"]
    if found:
        hint = f"choose: --column text2={found[0]}, or the one with --text COLUMN"
        raise column_error(table, "a row may be one text or a pair", hint=hint)


def _fit(
    table: Table, kind: RowKind, columns: Mapping[str, str], *, pairs: bool, name: str | None
) -> Fit:
    """Find the form of rows with their truth, as training does; else that of rows without."""
    training = forms_for_training(kind, pairs=pairs)
    try:
        fit = find_form(table, training, columns, name)
    except (DataError, RecipeError):
        return _fit_open(table, kind, forms_asking(kind, pairs=pairs), columns, name)
    form = without_truth(fit.form)
    asked = {role.name for role in form.roles}
    kept = {role: column for role, column in fit.columns.items() if role in asked}
    return Fit(form, fit.table, kept)


def _fit_open(
    table: Table, kind: RowKind, forms: Sequence[Form], columns: Mapping[str, str], name: str | None
) -> Fit:
    """Find the form of rows without truth; the only column of a table holds its texts."""
    try:
        return find_form(table, forms, columns, name)
    except DataError:
        if columns or len(table.columns) > 1 or kind not in TEXT_ROLES:
            raise
        return find_form(table, forms, {TEXT_ROLES[kind]: table.columns[0]}, name)
