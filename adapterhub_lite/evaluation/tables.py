"""What stands behind the metrics: how each label fared, what was taken for what, mistakes."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.data.table import RowSet
from adapterhub_lite.evaluation.results import ClassRow
from adapterhub_lite.specs import Task

if TYPE_CHECKING:
    from adapterhub_lite.scoring import Scored

Mistake = tuple[str, str, str]
Ranked = tuple[float, Mistake]

MOST: Final = 20
"""How many mistakes are kept."""


def class_rows(task: Task, scored: "Scored", classes: Sequence[str]) -> tuple[ClassRow, ...]:
    """Return a row for each label of a classifier or each tag of a tagger; else none."""
    if task == "text-classification":
        counts = (scored.truth, scored.decision, scored.truth & scored.decision)
        columns = zip(*(part.sum(axis=0).tolist() for part in counts), strict=True)
        return tuple(_row(name, *column) for name, column in zip(classes, columns, strict=True))
    if task == "token-classification":
        true = Counter(tag for tags in scored.truth for tag in tags)
        found = Counter(tag for tags in scored.decision for tag in tags)
        rows = zip(scored.truth, scored.decision, strict=True)
        pairs = (pair for row in rows for pair in zip(*row, strict=True))
        right = Counter(tag for tag, answer in pairs if tag == answer)
        return tuple(_row(tag, true[tag], found[tag], right[tag]) for tag in classes)
    return ()


def _row(label: str, true: int, found: int, right: int) -> ClassRow:
    """Return the rates of one label; one that divides nothing by nothing is 0."""
    precision = right / found if found else 0.0
    recall = right / true if true else 0.0
    f1 = 2 * right / (true + found) if true + found else 0.0
    return ClassRow(label, precision, recall, f1, true)


def confusion(scored: "Scored") -> tuple[tuple[int, ...], ...]:
    """Count rows with one label each by true label and predicted label."""
    counts = scored.truth.T.astype(int) @ scored.decision.astype(int)
    return tuple(tuple(int(cell) for cell in row) for row in counts)


def mistakes(
    task: Task, rows: RowSet, scored: "Scored", classes: Sequence[str]
) -> tuple[Mistake, ...]:
    """Return the worst mistakes as (asked, true, answered).

    Worst is the surest classification, the most wrong tags, the largest error, the least likely
    reference. Similarity has no mistakes, and neither have texts where nothing was generated.
    """
    if task == "text-classification":
        found = _wrong_labels(rows, scored, classes)
    elif task in _WRONG:
        found = _WRONG[task](rows, scored)
    else:
        return ()
    ranked = sorted(found, key=lambda item: -item[0])
    return tuple(mistake for _, mistake in ranked[:MOST])


def _wrong_labels(rows: RowSet, scored: "Scored", classes: Sequence[str]) -> Iterator[Ranked]:
    for number, text in enumerate(rows.keys):
        true, answer = (_names(part[number], classes) for part in (scored.truth, scored.decision))
        if true != answer:
            yield float(scored.scores[number].max()), (text, true, answer)


def _names(flags: Any, classes: Sequence[str]) -> str:
    return ", ".join(classes[i] for i in flags.nonzero()[0])


def _wrong_tags(rows: RowSet, scored: "Scored") -> Iterator[Ranked]:
    for words, true, answer in zip(rows.inputs, scored.truth, scored.decision, strict=True):
        wrong = [i for i in range(len(true)) if true[i] != answer[i]]
        if wrong:
            wanted, given = (
                " ".join(f"{words[i]}/{tags[i]}" for i in wrong) for tags in (true, answer)
            )
            yield float(len(wrong)), (" ".join(words), wanted, given)


def _far_values(rows: RowSet, scored: "Scored") -> Iterator[Ranked]:
    for text, true, answer in zip(rows.keys, scored.truth, scored.decision, strict=True):
        if true != answer:
            yield abs(float(true - answer)), (text, f"{true:.4g}", f"{answer:.4g}")


def _wrong_answers(rows: RowSet, scored: "Scored") -> Iterator[Ranked]:
    cells = zip(rows.inputs, scored.truth, scored.decision, scored.scores, strict=True)
    for (question, _), answers, answer, score in cells:
        if answer not in (answers or ("",)):
            yield float(score[0]), (question, " | ".join(answers) or "(no answer)", answer)


def _other_texts(rows: RowSet, scored: "Scored") -> Iterator[Ranked]:
    for asked, true, answer, (loss, tokens) in zip(
        rows.inputs, scored.truth, scored.decision, scored.scores, strict=True
    ):
        if answer is not None and answer.strip() != true.strip():
            yield float(loss) / max(float(tokens), 1.0), (_prompt(asked), true, answer)


def _prompt(asked: Any) -> str:
    """Return what was asked: a text, or the last of the messages."""
    return asked if isinstance(asked, str) else str(asked[-1]["content"])


_WRONG: Final[Mapping[Task, Callable[[RowSet, "Scored"], Iterator[Ranked]]]] = {
    "token-classification": _wrong_tags,
    "text-regression": _far_values,
    "question-answering": _wrong_answers,
    "text-generation": _other_texts,
    "text2text-generation": _other_texts,
}
