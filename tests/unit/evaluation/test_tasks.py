"""Tasks other than classification: their headline, tables and mistakes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from adapterhub_lite.data.examples import (
    Dialogue,
    Document,
    Examples,
    Message,
    Question,
    SimilarTexts,
    SourceTarget,
    TaggedWords,
    ValuedText,
)
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import DataError
from adapterhub_lite.evaluation import Evaluation, evaluate
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.scoring import Scored
from adapterhub_lite.specs import RowKind, Task

CATALOGUE = get_catalogue(first_party_only=True)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resample less than in earnest."""
    monkeypatch.setattr("adapterhub_lite.evaluation.intervals.RESAMPLES", 20)


def objects(items: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


class Oracle:
    """A scorer that answers what it was told to."""

    def __init__(
        self, decision: NDArray[Any], scores: NDArray[Any], classes: tuple[str, ...] = ()
    ) -> None:
        self.classes = classes
        self._decision = decision
        self._scores = scores

    def score(self, rows: RowSet, progress: Callable[[int], None] | None = None) -> Scored:
        assert isinstance(rows, Examples)
        truth = [item.truth for item in rows.items]
        numbers = isinstance(truth[0], float)
        return Scored(np.array(truth) if numbers else objects(truth), self._decision, self._scores)

    def predict(
        self, inputs: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> list[Any]:
        raise AssertionError("rows are scored, not predicted")


def scored(
    task: Task, kind: RowKind, items: Sequence[Any], decision: Sequence[Any], **how: Any
) -> Evaluation:
    scores = np.asarray(how.get("scores", np.zeros((len(items), 1))))
    numbers = isinstance(decision[0], float)
    answers = np.array(decision) if numbers else objects(decision)
    scorer = Oracle(answers, scores, how.get("classes", ()))
    return evaluate(scorer, Examples(kind, tuple(items), {}), CATALOGUE, task=task)


SENTENCES = (
    TaggedWords(("Ada", "lives", "in", "Rome"), ("B-PER", "O", "O", "B-LOC")),
    TaggedWords(("Rome", "burns"), ("B-LOC", "O")),
)


def test_tagging_has_a_row_a_tag_and_the_words_that_are_wrong() -> None:
    answers = (("B-PER", "O", "O", "O"), ("B-PER", "B-LOC"))
    found = scored(
        "token-classification",
        "tagged-words",
        SENTENCES,
        answers,
        classes=("B-LOC", "B-PER", "O"),
    )
    assert found.headline is not None
    assert found.headline.name == "span_f1"
    assert found.headline.value == pytest.approx(2 / 6)
    assert found.value("token_accuracy") == pytest.approx(3 / 6)
    place, person, outside = found.classes
    assert (place.precision, place.recall, place.f1, place.support) == (0.0, 0.0, 0.0, 2)
    assert (person.precision, person.recall, person.support) == (0.5, 1.0, 1)
    assert (outside.precision, outside.recall) == pytest.approx((2 / 3, 2 / 3))
    assert found.confusion is None
    assert found.mistakes == (
        ("Rome burns", "Rome/B-LOC burns/O", "Rome/B-PER burns/B-LOC"),
        ("Ada lives in Rome", "Rome/B-LOC", "Rome/O"),
    )


def test_tags_that_a_tagger_does_not_know_are_refused() -> None:
    with pytest.raises(DataError, match="'B-LOC'"):
        scored("token-classification", "tagged-words", SENTENCES, [(), ()], classes=("O", "B-PER"))


def test_regression_lists_the_largest_errors() -> None:
    items = [ValuedText("a", 1.0), ValuedText("b", 2.0), ValuedText("c", 3.0, "d")]
    found = scored("text-regression", "valued-text", items, [1.0, 2.5, 1.0])
    assert found.headline is not None
    assert found.headline.name == "rmse"
    assert found.headline.value == pytest.approx(np.sqrt((0.25 + 4) / 3))
    assert found.mistakes == (("c\nd", "3", "1"), ("b", "2", "2.5"))


def test_answers_that_are_none_of_the_right_ones() -> None:
    items = [
        Question("Who?", "Ada did.", ("Ada",), (0,)),
        Question("Where?", "Ada did.", (), ()),
        Question("What?", "A dog, a cat.", ("A dog", "dog"), (0, 2)),
    ]
    found = scored("question-answering", "question", items, ["Ada", "did", "a cat"])
    assert found.value("squad_exact_match") == pytest.approx(1 / 3)
    assert found.mistakes == (
        ("Where?", "(no answer)", "did"),
        ("What?", "A dog | dog", "a cat"),
    )


def test_generated_texts_and_their_least_likely_references() -> None:
    messages = (Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Ho"))
    items = [Dialogue(messages), Dialogue(messages[1:], plain=True)]
    scores = [[1.0, 2.0], [9.0, 3.0]]
    found = scored("text-generation", "dialogue", items, ["Ho ho", "no"], scores=scores)
    assert found.headline is not None
    assert (found.headline.name, found.headline.value) == ("perplexity", pytest.approx(np.e**2))
    assert found.value("exact_match") == 0.0
    assert found.find("bleu") is not None
    assert found.find("bleu").signature.startswith("nrefs:1")  # type: ignore[union-attr]
    assert found.mistakes == (("Hi", "Ho", "no"), ("Hi", "Ho", "Ho ho"))


def test_documents_have_a_perplexity_and_a_note_that_nothing_was_generated() -> None:
    items = [Document("one text"), Document("another")]
    found = scored("text-generation", "document", items, [None, None], scores=[[2.0, 2], [2.0, 2]])
    assert [metric.name for metric in found.metrics] == ["perplexity"]
    assert found.notes == (
        "not defined on these rows: bleu, chrf, exact_match, rouge1, rouge2, rougeL",
    )
    assert found.mistakes == ()


def test_translations() -> None:
    items = [SourceTarget("eins", "one"), SourceTarget("zwei", "two")]
    scores = [[1.0, 1], [1.0, 1]]
    found = scored("text2text-generation", "source-target", items, ["one", "too"], scores=scores)
    assert found.value("exact_match") == 0.5
    assert found.mistakes == (("zwei", "two", "too"),)


def test_pairs_that_all_mean_the_same_have_no_correlation() -> None:
    items = [SimilarTexts("a", "b"), SimilarTexts("c", "d"), SimilarTexts("e", "f")]
    found = scored("sentence-similarity", "similar-texts", items, [0.9, 0.8, 0.7])
    assert [metric.name for metric in found.metrics] == ["cosine_of_same"]
    assert found.value("cosine_of_same") == pytest.approx(0.8)
    assert found.notes == ("not defined on these rows: spearman, pearson",)
