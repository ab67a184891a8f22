"""A loaded version that answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapterhub_lite.evaluation import decide
from adapterhub_lite.protocols import Scorer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one text.

    ``labels`` is the likeliest label alone, or all labels over the threshold where a text may
    have several; ``probabilities`` has every label, the likeliest first.
    """

    text: str
    labels: tuple[str, ...]
    probabilities: Mapping[str, float]

    @property
    def label(self) -> str | None:
        """The likeliest of ``labels``; None when no label reached the threshold."""
        return self.labels[0] if self.labels else None

    @property
    def score(self) -> float:
        """The probability of the likeliest label."""
        return next(iter(self.probabilities.values()))


class Predictor:
    """Answers for texts; ``name`` is the version or folder it was loaded from."""

    def __init__(self, scorer: Scorer, name: str) -> None:
        self._scorer = scorer
        self.name = name

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, in the order of the columns of :meth:`predict_proba`."""
        return self._scorer.classes

    @property
    def multi_label(self) -> bool:
        """Whether a text may get several labels."""
        return self._scorer.multi_label

    def predict_proba(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> "NDArray[np.float64]":
        """Return probabilities (texts, classes); ``progress`` is called with texts done."""
        _refuse_what_is_no_text(texts)
        return self._scorer.predict_proba(_cleaned(texts), progress)

    def predict(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> list[Prediction]:
        """Return a prediction for each text, in order; texts are batched by length inside."""
        probabilities = self.predict_proba(texts, progress)
        decision = decide(probabilities, self.multi_label, self._scorer.threshold)
        return [
            self._prediction(text, row, chosen)
            for text, row, chosen in zip(texts, probabilities, decision, strict=True)
        ]

    def _prediction(
        self, text: str, row: "NDArray[np.float64]", chosen: "NDArray[np.bool_]"
    ) -> Prediction:
        order = (-row).argsort(kind="stable")
        return Prediction(
            text=text,
            labels=tuple(self.classes[i] for i in order if chosen[i]),
            probabilities={self.classes[i]: float(row[i]) for i in order},
        )


def _refuse_what_is_no_text(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise TypeError("predict takes a list of texts, not one text")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"text {number} is {type(text).__name__}, not str")


def _cleaned(texts: Sequence[str]) -> list[str]:
    """Normalise texts as training did: a model is asked in the form that it learnt from."""
    from adapterhub_lite.data.normalise import normalise_text

    return [normalise_text(text) for text in texts]
