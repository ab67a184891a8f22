"""The forms of training rows, without the columns that hold the truth.

Where a row does hold it (an answer, the last turn of a conversation) it is left aside. A row is
read by training's own parser, with a stand-in where the truth would be: what training refuses in
the rest of the row, prediction refuses in the same words.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from adapterhub_lite.data.cells import as_list, blank, text
from adapterhub_lite.data.columns import TEXT_NAMES
from adapterhub_lite.data.dialogues import SHAREGPT
from adapterhub_lite.data.forms import Cells, Form, Role
from adapterhub_lite.data.kinds import forms_of
from adapterhub_lite.data.tagging import OUTSIDE
from adapterhub_lite.recipes.data import DataSection
from adapterhub_lite.specs import RowKind

_STAND_IN: Final = "…"


def forms_for_training(kind: RowKind, *, pairs: bool) -> tuple[Form, ...]:
    """Return the forms that training rows of a kind may have."""
    return forms_of(kind, DataSection(train="-"), pairs=pairs)


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
    for form in forms_for_training(kind, pairs=pairs):
        open_form = without_truth(form)
        asked = tuple(role.name for role in open_form.roles)
        made.setdefault((asked, form.unfold), open_form)
    if kind == "similar-texts":
        made["text"] = Form("text", (Role("text", TEXT_NAMES),), _text)
    if kind == "dialogue":
        made["text"] = Form("text", (Role("text"),), _text)
    return tuple(made.values())


def _text(cells: Cells) -> Any:
    return text(cells["text"], "text")


@dataclass(frozen=True, slots=True)
class _Open:
    """How a form is asked: ``truth`` are roles that are not read, ``complete`` stands in for them.

    What stands in is what training's own parser needs to read the rest of the row, and refuse it.
    """

    truth: tuple[str, ...] = ()
    complete: Callable[[Cells], Cells] = lambda cells: {}


def without_truth(form: Form) -> Form:
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
