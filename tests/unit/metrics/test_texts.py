"""Answers and generated texts: SQuAD's script, sacrebleu and rouge-score give the same numbers."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import corpus_bleu, corpus_chrf

from adapterhub_lite_metrics import answers, bleu, rouge, texts

WORDS = st.sampled_from(["the", "cat", "sat", "on", "a", "mat", "dog", "ran", "far", "away"])
TEXTS = st.lists(WORDS, min_size=1, max_size=9).map(" ".join)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6)


def objects(*items: Any) -> NDArray[Any]:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def score(metric: Any, truth: list[Any], decision: list[Any]) -> float:
    return float(metric(objects(*truth), objects(*decision), np.zeros((len(truth), 2))))


@pytest.mark.parametrize(
    ("right", "given_answer", "exact", "f1"),
    [
        (("The Eiffel Tower",), "eiffel tower!", 1.0, 1.0),
        (("a cat", "two cats"), "two black cats", 0.0, 0.8),
        (("Paris, France",), "Paris", 0.0, 2 / 3),
        (("1,000",), "1000", 1.0, 1.0),
        (("red red blue",), "red", 0.0, 0.5),
        ((), "", 1.0, 1.0),  # SQuAD 2.0: there is no answer
        ((), "something", 0.0, 0.0),
        (("something",), "", 0.0, 0.0),
        (("the", "right"), "right", 1.0, 1.0),  # an answer of articles alone says nothing
    ],
)
def test_answers_are_scored_as_squad_does(
    right: tuple[str, ...], given_answer: str, exact: float, f1: float
) -> None:
    assert score(answers.squad_exact_match, [right], [given_answer]) == exact
    assert score(answers.squad_f1, [right], [given_answer]) == pytest.approx(f1)


def test_answers_are_averaged_over_questions() -> None:
    truth, given_answers = [("Paris",), (), ("a cat",)], ["Paris", "Rome", "cat dog"]
    assert score(answers.squad_exact_match, truth, given_answers) == pytest.approx(1 / 3)
    assert score(answers.squad_f1, truth, given_answers) == pytest.approx((1 + 0 + 2 / 3) / 3)


def test_perplexity_is_over_tokens_not_over_rows() -> None:
    scores = np.array([[2.0, 1.0], [1.0, 9.0]])
    nothing = objects(None, None)
    assert texts.perplexity(nothing, nothing, scores) == pytest.approx(math.exp(3 / 10))
    assert np.isnan(texts.perplexity(nothing, nothing, np.zeros((2, 2))))
    assert np.isinf(texts.perplexity(nothing, nothing, np.array([[1e6, 1.0], [1.0, 1.0]])))


def test_exact_match_is_about_more_than_space_around() -> None:
    assert score(texts.exact_match, ["yes", "no", "No"], [" yes\n", "no", "no"]) == 2 / 3


@pytest.mark.parametrize("metric", [texts.exact_match, bleu.bleu, bleu.chrf, rouge.rougeL])
def test_without_generated_texts_there_is_nothing_to_compare(metric: Any) -> None:
    assert np.isnan(score(metric, ["a cat", "a dog"], [None, None]))


@settings(max_examples=40)
@given(PAIRS)
def test_bleu_and_chrf_are_sacrebleus(pairs: list[tuple[str, str]]) -> None:
    right, generated = (list(column) for column in zip(*pairs, strict=True))
    found = score(bleu.bleu, right, generated)
    assert found == pytest.approx(corpus_bleu(generated, [right], force=True).score)
    found = score(bleu.chrf, right, generated)
    assert found == pytest.approx(corpus_chrf(generated, [right]).score)


@settings(max_examples=40)
@given(PAIRS)
def test_rouge_is_rouge_scores_mean(pairs: list[tuple[str, str]]) -> None:
    names = ["rouge1", "rouge2", "rougeL"]
    scorer = RougeScorer(names, use_stemmer=False)
    scores = [scorer.score(*pair) for pair in pairs]
    right, generated = (list(column) for column in zip(*pairs, strict=True))
    for name in names:
        expected = np.mean([row[name].fmeasure for row in scores])
        assert score(getattr(rouge, name), right, generated) == pytest.approx(expected)


def test_rouge_is_not_0_but_undefined_for_a_script_that_it_cannot_read() -> None:
    assert np.isnan(score(rouge.rouge1, ["мама мыла раму"], ["мама мыла раму"]))
    assert score(rouge.rouge1, ["…"], ["a word"]) == 0.0


def test_signatures_name_version_and_tokeniser() -> None:
    assert "tok:13a" in bleu.bleu_signature()
    assert "nw:0" in bleu.chrf_signature()
    assert rouge.rouge2_signature().startswith("rouge2|f1|stemmer:no")
