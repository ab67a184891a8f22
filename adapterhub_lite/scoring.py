"""Answers to rows whose truth is known, as arrays with one entry a row, for every task alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapterhub_lite.data.table import RowSet, TextSet
from adapterhub_lite.predictions import Classified, Prediction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scored:
    """What is true of each row, what was decided, and the numbers behind the decision.

    The first axis of all three is the row. By task:

    ===================== ======================== ======================= =========================
    task                  truth                    decision                scores
    ===================== ======================== ======================= =========================
    text-classification   bool (rows, classes)     bool (rows, classes)    probabilities, same shape
    token-classification  object: tuples of tags   object: tuples of tags  object: (words, classes)
    text-regression       float (rows,)            float (rows,)           float (rows, 1)
    question-answering    object: tuples of texts  object: texts           float (rows, 1)
    text-generation       object: texts            object: texts           float (rows, 2)
    text2text-generation  object: texts            object: texts           float (rows, 2)
    sentence-similarity   float (rows,)            float (rows,): cosine   float (rows, 1)
    ===================== ======================== ======================= =========================

    The scores of generation are a reference's negative log-likelihood in nats and its number of
    tokens; where nothing was generated, decisions are None.
    """

    truth: "NDArray[Any]"
    decision: "NDArray[Any]"
    scores: "NDArray[Any]"

    def __len__(self) -> int:
        return len(self.truth)


class ProbabilityScorer:
    """A classifier: what the protocol ``Scorer`` asks for follows from its probabilities.

    A subclass has ``classes``, ``multi_label`` and ``threshold``, as fields or properties, and
    ``predict_proba``.
    """

    if TYPE_CHECKING:  # declared for checkers only, so that a dataclass may have them as fields

        @property
        def classes(self) -> tuple[str, ...]:
            """The labels, in the order of the probability columns."""

        @property
        def multi_label(self) -> bool:
            """Whether a text may get several labels, each with its own probability."""

        @property
        def threshold(self) -> float:
            """The probability from which a label counts, where a text may get several."""

    def predict_proba(
        self, texts: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> "Floats":
        """Return probabilities, shape ``(len(texts), len(classes))``; ``progress`` gets counts."""
        raise NotImplementedError

    def score(self, rows: RowSet, progress: Callable[[int], None] | None = None) -> Scored:
        """Return truth, decision and probabilities, each ``(rows, classes)``."""
        assert isinstance(rows, TextSet), "a classifier is scored on labelled texts"
        probabilities = self.predict_proba(rows.inputs, progress)
        decision = decide(probabilities, self.multi_label, self.threshold)
        return Scored(truth_matrix(rows, self.classes), decision, probabilities)

    def predict(
        self, inputs: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> list[Prediction]:
        """Return the labels of each text, the likeliest first."""
        return self.predictions(inputs, self.predict_proba(inputs, progress))

    def predictions(self, inputs: Sequence[Any], probabilities: "Floats") -> list[Prediction]:
        """Return the labels of each text from its probabilities (texts, classes)."""
        decision = decide(probabilities, self.multi_label, self.threshold)
        rows = zip(inputs, probabilities, decision, strict=True)
        return [self._prediction(text, row, chosen) for text, row, chosen in rows]

    def _prediction(self, text: Any, row: "Floats", chosen: "Flags") -> Classified:
        order = (-row).argsort(kind="stable")
        return Classified(
            text=text,
            labels=tuple(self.classes[i] for i in order if chosen[i]),
            probabilities={self.classes[i]: float(row[i]) for i in order},
        )


def decide(probabilities: "Floats", multi_label: bool, threshold: float) -> "Flags":
    """Return the decision (rows, classes): the likeliest label, or all from the threshold on."""
    import numpy as np

    if multi_label:
        return np.asarray(probabilities >= threshold)
    decision = np.zeros(probabilities.shape, dtype=bool)
    decision[np.arange(len(decision)), probabilities.argmax(1)] = True
    return decision


def truth_matrix(rows: TextSet, classes: Sequence[str]) -> "Flags":
    """Return the labels of rows as (rows, classes)."""
    import numpy as np

    column = {name: number for number, name in enumerate(classes)}
    truth = np.zeros((len(rows), len(classes)), dtype=bool)
    for number, labels in enumerate(rows.labels):
        truth[number, [column[label] for label in labels]] = True
    return truth
