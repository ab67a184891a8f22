"""Questions whose answers are spans of a context, as SQuAD writes them and flatter."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from adapterhub_lite.data.cells import CellError, as_list, as_mapping, blank, named, short, text
from adapterhub_lite.data.examples import Question
from adapterhub_lite.data.forms import Cells, Form, Role
from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError

_FORM: Final = 'answers are written as {"text": ["..."], "answer_start": [0]}'
_OFFSETS: Final = (
    "offsets count characters from 0; without answer_start an answer is looked for in the context"
)


def _squad(cells: Cells) -> Question:
    return _question(cells, _answers(cells["answers"]))


def _flat(cells: Cells) -> Question:
    if blank(cells["answer"]):
        return _question(cells, [])
    return _question(cells, [(text(cells["answer"], "answer"), cells.get("answer_start"))])


def _question(cells: Cells, answers: Sequence[tuple[str, Any]]) -> Question:
    context = text(cells["context"], "context")
    starts = tuple(_start(answer, start, context) for answer, start in answers)
    wordings = tuple(answer for answer, _ in answers)
    return Question(text(cells["question"], "question"), context, wordings, starts)


def _answers(cell: Any) -> list[tuple[str, Any]]:
    """Return answers with their offsets, None where an offset is missing."""
    if blank(cell):
        return []
    found = as_list(cell)
    if found is not None:
        return [_answer(item) for item in found]
    together = as_mapping(cell)
    if together is None:
        raise CellError(f"the answers are {named(cell)}: {short(cell)}", _FORM)
    texts = as_list(together.get("text"))
    if texts is None:
        raise CellError(f"the answers have no list of texts: {short(cell)}", _FORM)
    starts = together.get("answer_start")
    offsets = [None] * len(texts) if starts is None else as_list(starts)
    if offsets is None or len(offsets) != len(texts):
        raise CellError(f"the answers differ in number from their starts: {short(cell)}", _FORM)
    return [(_wording(answer), start) for answer, start in zip(texts, offsets, strict=True)]


def _answer(item: Any) -> tuple[str, Any]:
    if isinstance(item, Mapping):
        return _wording(item.get("text")), item.get("answer_start")
    return _wording(item), None


def _wording(cell: Any) -> str:
    if blank(cell):
        raise CellError("an answer is empty", "a question without an answer has no answers: []")
    return text(cell, "answer")


def _start(answer: str, start: Any, context: str) -> int:
    if blank(start):
        return _found(answer, context)
    if isinstance(start, str) and start.strip().isdecimal() and len(start) < 20:
        start = int(start)
    if isinstance(start, float) and start.is_integer():
        start = int(start)
    if not isinstance(start, int) or isinstance(start, bool) or start < 0:
        raise CellError(f"the answer starts at {short(start)}, which is no offset", _OFFSETS)
    there = context[start : start + len(answer)]
    if there != answer:
        raise CellError(
            f"the answer {short(answer)} is not at offset {short(start)} of the context, where "
            f"{short(there)} is",
            _OFFSETS,
        )
    return start


def _found(answer: str, context: str) -> int:
    start = context.find(answer)
    if start < 0:
        raise CellError(
            f"the answer {short(answer)} does not occur in the context",
            "an answer is a part of its context, spelt alike",
        )
    if context.find(answer, start + 1) >= 0:
        raise CellError(
            f"the answer {short(answer)} occurs more than once in the context",
            "say where it starts: answer_start",
        )
    return start


def _unfold(table: Table) -> Table | None:
    """Return the questions of SQuAD's original nesting: data → paragraphs → questions."""
    if "data" not in table.columns and "paragraphs" not in table.columns:
        return None
    try:
        rows = list(_nested(table))
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{table.source}: not nested as SQuAD is: {short(error)}",
            path=table.source,
            hint="each of data has paragraphs; each of those a context and qas",
        ) from error
    return Table(("question", "context", "answers"), rows, table.source, table.notes)


def _nested(table: Table) -> Iterator[dict[str, Any]]:
    for row in table.rows:
        for article in row["data"] if "data" in table.columns else [row]:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    yield {
                        "question": question["question"],
                        "context": paragraph["context"],
                        "answers": question.get("answers"),
                    }


_ASKED: Final = (Role("question"), Role("context", ("passage", "paragraph")))
FORMS: Final = (
    Form("squad", (*_ASKED, Role("answers")), _squad),
    Form(
        "answer",
        (*_ASKED, Role("answer"), Role("answer_start", ("start",), required=False)),
        _flat,
    ),
    Form("squad-nested", (*_ASKED, Role("answers")), _squad, _unfold),
)
