"""A predictor asks the model as it was trained, and answers in order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.inference.predictor import Predictor
from adapterhub_lite.predictions import Classified, Embedded, Generated, Prediction, Tagged, Valued
from adapterhub_lite.scoring import ProbabilityScorer, Scored
from adapterhub_lite.specs import RowKind, Task


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
    with pytest.raises(TypeError, match="input 1 is"):
        predictor_of(scorer, "x").predict(["abc", wrong])
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


@dataclass
class Echo:
    """A scorer that answers what it is asked; one of plain prompts refuses messages."""

    answer: Callable[[Any], Prediction]
    plain: bool = False
    asked: list[Any] = field(default_factory=list)
    classes: tuple[str, ...] = ()

    def predict(
        self, inputs: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> list[Prediction]:
        if self.plain and not all(isinstance(asked, str) for asked in inputs):
            raise CapabilityError("plain prompts only")
        self.asked += inputs
        if progress:
            progress(len(inputs))
        return [self.answer(asked) for asked in inputs]

    def score(self, rows: RowSet, progress: Callable[[int], None] | None = None) -> Scored:
        raise NotImplementedError


def tag(words: Any) -> Prediction:
    return Tagged(words, ("O",) * len(words), (1.0,) * len(words))


def embed(text: str) -> Prediction:
    return Embedded(text, (1.0, 0.0) if "apple" in text else (0.6, 0.8))


MESSY = "  caf\u0065\u0301\t\u200bau\n lait "
TASKS: dict[RowKind, tuple[Task, Callable[[Any], Prediction]]] = {
    "valued-text": ("text-regression", lambda asked: Valued(asked, 1.0)),
    "tagged-words": ("token-classification", tag),
    "document": ("text-generation", lambda asked: Generated(asked, "", "stop")),
    "dialogue": ("text-generation", lambda asked: Generated(asked, "", "stop")),
    "source-target": ("text2text-generation", lambda asked: Generated(asked, "", "stop")),
    "similar-texts": ("sentence-similarity", embed),
}


@pytest.mark.parametrize(
    ("kind", "given", "asked", "key", "back"),
    [
        ("valued-text", MESSY, "café au lait", "text", MESSY),
        ("valued-text", [MESSY, " b"], ("café au lait", "b"), "text", [MESSY, " b"]),
        ("tagged-words", MESSY, ("café", "au", "lait"), "words", MESSY.split()),
        (
            "tagged-words",
            ["New  York", "\u200b"],
            ("New York", ""),
            "words",
            ["New  York", "\u200b"],
        ),
        ("similar-texts", MESSY, "café au lait", "text", MESSY),
        ("document", MESSY, MESSY, "prompt", MESSY),
        ("source-target", MESSY, MESSY, "prompt", MESSY),
        ("dialogue", MESSY, [{"role": "user", "content": MESSY}], "prompt", MESSY),
    ],
)
def test_an_input_is_asked_as_training_normalised_its_kind_and_given_back(
    kind: RowKind, given: Any, asked: Any, key: str, back: Any
) -> None:
    task, answer = TASKS[kind]
    scorer = Echo(answer)
    (prediction,) = Predictor(scorer, "x", task, kind).predict([given])
    assert scorer.asked == [asked]
    assert prediction.record()[key] == back


def test_a_model_of_plain_prompts_goes_on_from_a_text() -> None:
    task, answer = TASKS["dialogue"]
    scorer = Echo(answer, plain=True)
    predictor = Predictor(scorer, "x", task, "dialogue")
    (prediction,) = predictor.predict(["hello"])
    assert scorer.asked == ["hello"]
    assert prediction.record()["prompt"] == "hello"
    with pytest.raises(CapabilityError, match="plain prompts only"):
        predictor.predict([[{"role": "user", "content": "hello"}]])


def test_a_pair_of_an_embedding_model_is_compared_beside_texts() -> None:
    scorer, done = Echo(embed), list[int]()
    predictor = Predictor(scorer, "x", "sentence-similarity", "similar-texts")
    first, pair, last = predictor.predict(["apple", ("an  apple", "drum"), "drum"], done.append)
    assert scorer.asked == ["apple", "an apple", "drum", "drum"]
    assert pair.record() == {"text": ["an  apple", "drum"], "similarity": pytest.approx(0.6)}
    assert pair.summary() == "0.6000"
    assert (first.record()["embedding"], last.record()["embedding"]) == ([1.0, 0.0], [0.6, 0.8])
    assert done == [3], "a bar over inputs does not run over"


@pytest.mark.parametrize(
    ("kind", "wrong", "takes"),
    [
        ("question", "who", "a pair of a question and its context"),
        ("question", ("who", "a", "b"), "a pair of a question and its context"),
        ("tagged-words", ["the", 3], "a text or a list of words"),
        ("document", ("a", "b"), "a text"),
        ("dialogue", [], "a text or a list of messages"),
        ("valued-text", ("a", "b", "c"), "a text or a pair of texts"),
    ],
)
def test_an_input_of_another_kind_is_refused(kind: RowKind, wrong: object, takes: str) -> None:
    scorer = Echo(embed)
    with pytest.raises(TypeError, match=f"input 0 is .* not {takes}$"):
        Predictor(scorer, "x", "text-generation", kind).predict([wrong])
    assert scorer.asked == []


def test_a_pair_is_refused_where_the_model_reads_one_text() -> None:
    scorer = Lengths()
    predictor = Predictor(scorer, "x@1", "text-classification", "labelled-text", pairs=False)
    with pytest.raises(CapabilityError, match="x@1 reads one text, and input 1 is a pair"):
        predictor.predict(["abc", ("a", "b")])
    assert scorer.asked == []
