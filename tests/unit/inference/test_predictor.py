"""A predictor asks the model as it was trained, and answers in order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from adapterhub_lite.inference import Predictor
from adapterhub_lite.predictions import Classified
from adapterhub_lite.scoring import ProbabilityScorer


@dataclass
class Lengths(ProbabilityScorer):
    """A scorer whose probabilities follow the length of the text."""

    classes: tuple[str, ...] = ("long", "short", "tiny")
    multi_label: bool = False
    threshold: float = 0.5
    asked: list[str] = field(default_factory=list)

    def predict_proba(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float64]:
        self.asked += texts
        if progress:
            progress(len(texts))
        rows = [_shares(len(text)) for text in texts]
        return np.array(rows, dtype=float).reshape(len(rows), 3)


def _shares(length: int) -> tuple[float, float, float]:
    if length > 20:
        return 0.6, 0.3, 0.1
    return (0.1, 0.7, 0.2) if length > 5 else (0.1, 0.2, 0.45)


def predictor_of(scorer: Lengths, name: str = "x") -> Predictor:
    return Predictor(scorer, name, "text-classification", "labelled-text")


TEXTS = ["abc", "a text that is rather long indeed", "some words"]


def test_answers_come_in_the_order_of_the_texts() -> None:
    predictor = predictor_of(Lengths(), "lengths@1")
    predictions = predictor.predict(TEXTS)
    assert predictor.name == "lengths@1"
    assert predictor.classes == ("long", "short", "tiny")
    assert [p.text for p in predictions] == TEXTS
    assert [p.label for p in predictions] == ["tiny", "long", "short"]
    assert [p.labels for p in predictions] == [("tiny",), ("long",), ("short",)]
    assert [p.score for p in predictions] == [0.45, 0.6, 0.7]


def test_probabilities_have_every_label_the_likeliest_first() -> None:
    (prediction,) = predictor_of(Lengths(), "x").predict(["some words"])
    assert list(prediction.probabilities.items()) == [("short", 0.7), ("tiny", 0.2), ("long", 0.1)]


def test_columns_stay_in_the_order_of_the_classes() -> None:
    rows = predictor_of(Lengths(), "x").predict_proba(["some words"])
    assert rows.tolist() == [[0.1, 0.7, 0.2]]


def test_several_labels_the_likeliest_first_or_none() -> None:
    predictor = predictor_of(Lengths(multi_label=True, threshold=0.3), "x")
    assert predictor.multi_label
    tiny, long, short = predictor.predict(TEXTS)
    assert (tiny.label, tiny.labels) == ("tiny", ("tiny",))
    assert (long.label, long.labels) == ("long", ("long", "short"))
    assert short.labels == ("short",)
    strict = predictor_of(Lengths(multi_label=True, threshold=0.5), "x")
    (nothing,) = strict.predict(["abc"])
    assert nothing.labels == ()
    assert nothing.label is None
    assert nothing.score == 0.45, "the likeliest label's, though it did not reach the threshold"


def test_without_several_labels_the_threshold_says_nothing() -> None:
    (prediction,) = predictor_of(Lengths(threshold=0.99), "x").predict(["abc"])
    assert prediction.label == "tiny"


@pytest.mark.parametrize("ask", ["predict", "predict_proba"])
def test_a_bare_string_is_refused(ask: str) -> None:
    scorer = Lengths()
    with pytest.raises(TypeError, match="a list of texts"):
        getattr(predictor_of(scorer, "x"), ask)("some words")
    assert scorer.asked == []


@pytest.mark.parametrize("wrong", [None, 3, b"bytes", ["a"]])
def test_what_is_no_text_is_refused_and_numbered(wrong: object) -> None:
    scorer = Lengths()
    with pytest.raises(TypeError, match="text 1 is"):
        predictor_of(scorer, "x").predict(["abc", wrong])  # type: ignore[list-item]
    assert scorer.asked == []


def test_no_texts_no_answers() -> None:
    predictor = predictor_of(Lengths(), "x")
    assert predictor.predict([]) == []
    assert predictor.predict_proba([]).shape == (0, 3)


def test_texts_are_asked_as_training_normalised_them_and_given_back_as_they_were() -> None:
    scorer = Lengths()
    messy = "  caf\u0065\u0301\t\u200bau\n lait "
    (prediction,) = predictor_of(scorer, "x").predict([messy])
    assert scorer.asked == ["café au lait"]
    assert prediction.text == messy


def test_progress_is_passed_on() -> None:
    seen: list[int] = []
    predictor_of(Lengths(), "x").predict(TEXTS, seen.append)
    assert seen == [3]


def test_a_prediction_cannot_be_changed() -> None:
    prediction = Classified("a", ("x",), {"x": 1.0})
    with pytest.raises(AttributeError):
        prediction.text = "b"  # type: ignore[misc]
