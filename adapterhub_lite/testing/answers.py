"""Made-up answers of every task: what is true, what was decided, and the numbers behind it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from adapterhub_lite.scoring import Scored
from adapterhub_lite.specs import Task

CLASSES: Final = 3
TAGS: Final = ("O", "B-name", "I-name")
TEXTS: Final = (
    "the parcel is late",
    "a refund, please",
    "where is my order",
    "thank you very much for it",
)

Draw = np.random.Generator


def answers(task: Task, rows: int, *, multi_label: bool = False) -> Scored:
    """Return rows of a task, every second of them answered wrongly; the same each time."""
    draw = np.random.default_rng(7)
    wrong = np.arange(rows) % 2 == 1
    if task == "text-classification":
        return _several_labels(draw, wrong) if multi_label else _one_label(draw, wrong)
    return MAKERS[task](draw, wrong)


def perfect(rows: Scored) -> Scored:
    """Return the same rows, all answered right and as surely as can be."""
    if rows.truth.dtype == bool:
        return Scored(rows.truth, rows.truth.copy(), rows.truth.astype(np.float64))
    if rows.truth.dtype != object:
        return Scored(rows.truth, rows.truth.copy(), rows.truth[:, None].copy())
    if isinstance(rows.truth[0], str):
        certain = rows.scores * [0.0, 1.0]
        return Scored(rows.truth, rows.truth.copy(), certain)
    if rows.scores.dtype == object:
        sure = _objects([_surely(tags) for tags in rows.truth])
        return Scored(rows.truth, rows.truth.copy(), sure)
    return Scored(rows.truth, _objects([texts[0] for texts in rows.truth]), rows.scores)


def degenerate(rows: Scored) -> Mapping[str, Scored]:
    """Return selections of rows on which much is not defined."""

    def chosen(index: Sequence[int]) -> Scored:
        order = np.array(index)
        return Scored(rows.truth[order], rows.decision[order], rows.scores[order])

    return {
        "one row": chosen([0]),
        "one wrong row": chosen([1]),
        "rows that are all alike": chosen([0, 0, 0, 0]),
        "rows that are all alike and wrong": chosen([1, 1, 1, 1]),
    }


def _one_label(draw: Draw, wrong: NDArray[Any]) -> Scored:
    true = np.arange(len(wrong)) // 2 % CLASSES
    decided = np.where(wrong, (true + 1) % CLASSES, true)
    scores = draw.uniform(0.1, 0.2, (len(wrong), CLASSES))
    scores[np.arange(len(wrong)), decided] += 1.0
    scores /= scores.sum(1, keepdims=True)
    return Scored(_flags(true), _flags(decided), scores)


def _several_labels(draw: Draw, wrong: NDArray[Any]) -> Scored:
    truth = np.array([[row & 1, row & 2, 1] for row in range(len(wrong))]).astype(bool)
    truth[::4, 2] = False
    decision = truth ^ (wrong[:, None] & (draw.random(truth.shape) < 0.7))
    decision[wrong, 0] = ~truth[wrong, 0]
    scores = np.where(decision, 0.8, 0.2) + draw.uniform(-0.1, 0.1, truth.shape)
    return Scored(truth, decision, scores)


def _tags(draw: Draw, wrong: NDArray[Any]) -> Scored:
    outside = [("O",) * count for count in draw.integers(0, 4, len(wrong))]
    truth = [("B-name", "I-name", *rest) for rest in outside]
    decision = [
        ("O", "B-name", *rest) if bad else ("B-name", "I-name", *rest)
        for rest, bad in zip(outside, wrong, strict=True)
    ]
    scores = [0.8 * _surely(tags) + 0.1 for tags in decision]
    return Scored(_objects(truth), _objects(decision), _objects(scores))


def _values(draw: Draw, wrong: NDArray[Any]) -> Scored:
    truth = draw.normal(size=len(wrong))
    decision = truth + wrong * draw.normal(size=len(wrong))
    return Scored(truth, decision, decision[:, None].copy())


def _similarities(draw: Draw, wrong: NDArray[Any]) -> Scored:
    truth = (np.arange(len(wrong)) // 2 % 2).astype(np.float64)
    decision = np.clip(np.abs(truth - 0.8 * wrong) + draw.uniform(-0.1, 0.1, len(wrong)), -1, 1)
    return Scored(truth, decision, decision[:, None].copy())


def _spans(draw: Draw, wrong: NDArray[Any]) -> Scored:
    truth = [(TEXTS[row % len(TEXTS)],) for row in range(len(wrong))]
    decision = ["nothing" if bad else texts[0] for texts, bad in zip(truth, wrong, strict=True)]
    return Scored(_objects(truth), _objects(decision), draw.random((len(wrong), 1)))


def _texts(draw: Draw, wrong: NDArray[Any]) -> Scored:
    truth = [TEXTS[row // 2 % len(TEXTS)] for row in range(len(wrong))]
    decision = ["no idea" if bad else text for text, bad in zip(truth, wrong, strict=True)]
    tokens = draw.integers(3, 9, len(wrong)).astype(np.float64)
    losses = tokens * draw.uniform(0.5, 2.0, len(wrong))
    return Scored(_objects(truth), _objects(decision), np.column_stack([losses, tokens]))


MAKERS: Final[Mapping[Task, Callable[[Draw, NDArray[Any]], Scored]]] = {
    "token-classification": _tags,
    "text-regression": _values,
    "sentence-similarity": _similarities,
    "question-answering": _spans,
    "text-generation": _texts,
    "text2text-generation": _texts,
}


def _flags(chosen: NDArray[Any]) -> NDArray[np.bool_]:
    flags: NDArray[np.bool_] = chosen[:, None] == np.arange(CLASSES)
    return flags


def _surely(tags: Sequence[str]) -> NDArray[np.float64]:
    return np.eye(len(TAGS))[[TAGS.index(tag) for tag in tags]]


def _objects(items: Sequence[Any]) -> NDArray[Any]:
    """Return an array of objects, which numpy would else take apart."""
    array = np.empty(len(items), dtype=object)
    for number, item in enumerate(items):
        array[number] = item
    return array
