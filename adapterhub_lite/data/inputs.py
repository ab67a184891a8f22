"""What a model is asked with: rows whose truth nobody knows yet, read as training reads them.

The forms are those of training rows without the columns that hold the truth. Where a row does hold
it (an answer, the last turn of a conversation) it is left aside.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from adapterhub_lite.data.cells import as_list, blank, each_row, text
from adapterhub_lite.data.columns import TEXT_NAMES, find_pair, find_text_column, require_columns
from adapterhub_lite.data.dialogues import SHAREGPT
from adapterhub_lite.data.forms import Cells, Fit, Form, Role, find_form, unknown_role
from adapterhub_lite.data.kinds import forms_of
from adapterhub_lite.data.normalise import normalise_text, without_surrogates
from adapterhub_lite.data.table import Table
from adapterhub_lite.data.tagging import OUTSIDE
from adapterhub_lite.errors import DataError, RecipeError
from adapterhub_lite.recipes.data import DataSection
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
_STAND_IN: Final = "…"
_NO_FILE: Final = "-"


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


def read_messages(cell: Any) -> list[dict[str, str]]:
    """Return the messages of an open conversation; one that ends with an answer loses it.

    Raises CellError for what is no conversation.
    """
    form = next(form for form in forms_asking("dialogue") if form.name == "messages")
    messages: Any = form.parse({"messages": cell})
    return list(messages)


def forms_asking(kind: RowKind, *, pairs: bool = False) -> tuple[Form, ...]:
    """Return the forms that rows without truth may have; those that then are alike count once."""
    made: dict[Any, Form] = {}
    for form in forms_of(kind, DataSection(train=_NO_FILE), pairs=pairs):
        open_form = _without_truth(form)
        asked = tuple(role.name for role in open_form.roles)
        made.setdefault((asked, form.unfold), open_form)
    if kind == "similar-texts":
        made["text"] = Form("text", (Role("text", TEXT_NAMES),), _text)
    if kind == "dialogue":
        made["text"] = Form("text", (Role("text"),), _text)
    return tuple(made.values())


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
    second = columns.get("text2")
    require_columns(table, [] if second is None else [second], "choose: --column text2=COLUMN")
    free = replace(table, columns=tuple(name for name in table.columns if name != second))
    first = find_text_column(free, columns.get("text"))
    if second is None:
        return Fit(_TEXT, table, {"text": first})
    return Fit(_PAIR, table, {"text": first, "text2": second})


def _fit(
    table: Table, kind: RowKind, columns: Mapping[str, str], *, pairs: bool, name: str | None
) -> Fit:
    """Find the form of rows with their truth, as training does; else that of rows without."""
    training = forms_of(kind, DataSection(train=_NO_FILE), pairs=pairs)
    try:
        fit = find_form(table, training, columns, name)
    except (DataError, RecipeError):
        return _fit_open(table, kind, forms_asking(kind, pairs=pairs), columns, name)
    form = _without_truth(fit.form)
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


@dataclass(frozen=True, slots=True)
class _Open:
    """How a form is asked: ``truth`` are roles that are not read, ``complete`` stands in for them.

    What stands in is what training's own parser needs to read the rest of the row, and refuse it.
    """

    truth: tuple[str, ...] = ()
    complete: Callable[[Cells], Cells] = lambda cells: {}


def _without_truth(form: Form) -> Form:
    """Return a form that reads what a row asks; its ``parse`` returns an input, not an example."""
    how = _OPEN[form.name]

    def parse(cells: Cells) -> Any:
        return form.parse({**cells, **how.complete(cells)}).input

    roles = tuple(role for role in form.roles if role.name not in how.truth)
    return replace(form, roles=roles, parse=parse)


def _outside(cells: Cells) -> Cells:
    cell = cells["words"]
    words = as_list(cell)
    if words is None:
        words = cell.split() if isinstance(cell, str) else []
    return {"tags": [OUTSIDE] * len(words)}


def _open_messages(cells: Cells) -> Cells:
    turns = _turns(cells["messages"])
    if turns is None or (turns and _says(turns[-1], "role") == "assistant"):
        return {}
    return {"messages": [*turns, {"role": "assistant", "content": _STAND_IN}]}


def _open_sharegpt(cells: Cells) -> Cells:
    turns = _turns(cells["conversations"])
    if turns is None or (turns and SHAREGPT.get(_says(turns[-1], "from")) == "assistant"):
        return {}
    return {"conversations": [*turns, {"from": "gpt", "value": _STAND_IN}]}


def _turns(cell: Any) -> list[Any] | None:
    """Return a cell's messages; None for what is no list, which training's parser refuses."""
    return [] if blank(cell) else as_list(cell)


def _says(turn: Any, key: str) -> str:
    return str(turn.get(key)) if isinstance(turn, Mapping) else ""


def _completion(cells: Cells) -> Cells:
    chat = isinstance(cells["prompt"], list | tuple)
    return {"completion": [{"role": "assistant", "content": _STAND_IN}] if chat else _STAND_IN}


def _constant(**cells: Any) -> Callable[[Cells], Cells]:
    return lambda _: cells


_OPEN: Final[Mapping[str, _Open]] = {
    "words-tags": _Open(("tags",), _outside),
    "text-value": _Open(("value",), _constant(value=None)),
    "texts-value": _Open(("value",), _constant(value=None)),
    "similar": _Open(("negative", "value")),
    "squad": _Open(("answers",), _constant(answers=None)),
    "squad-nested": _Open(("answers",), _constant(answers=None)),
    "answer": _Open(("answer", "answer_start"), _constant(answer=None)),
    "text": _Open(),
    "messages": _Open((), _open_messages),
    "sharegpt": _Open((), _open_sharegpt),
    "alpaca": _Open(("output",), _constant(output=_STAND_IN)),
    "prompt-completion": _Open(("completion",), _completion),
    "question-answer": _Open(("answer",), _constant(answer=_STAND_IN)),
    "source-target": _Open(("target",), _constant(target="")),
    "translation": _Open(("target",), _constant(target="")),
}
"""Every form that training knows, by name."""
