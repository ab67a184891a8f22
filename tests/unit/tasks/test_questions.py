"""Question answering: spans are the context's own text, in whichever window they lie."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from adapterhub_lite.data.examples import Examples, Question
from adapterhub_lite.errors import DataError
from adapterhub_lite.testing import TINY_ROWS
from adapterhub_lite_tasks.params import QuestionParams
from adapterhub_lite_tasks.questions import (
    QuestionAnswering,
    QuestionLearner,
    Reader,
    word_f1,
)
from adapterhub_lite_tasks.settings import QuestionSettings
from adapterhub_lite_tasks.windows import QuestionWindows, target

CONTEXTS = st.lists(st.text("abé,", min_size=1, max_size=7), min_size=1, max_size=60)


def rows_of(*items: Question) -> Examples[Question]:
    return Examples("question", items, {})


def last_word(text: str) -> Question:
    word = text.split()[-1]
    return Question("the last", text, (word,), (text.rindex(word),))


ROWS = rows_of(*(last_word(text) for text, _ in TINY_ROWS))
UNTOLD = rows_of(*ROWS.items, *(Question("the choir", text, (), ()) for text, _ in TINY_ROWS))
MODELS = ("bert", "roberta", "distilbert", "gpt2", "t5")


def windows_of(tokenizer: Any, length: int = 40, end: int | None = None) -> QuestionWindows:
    return QuestionWindows(tokenizer, length, length // 4, segments=False, end=end)


@given(words=CONTEXTS, length=st.integers(32, 60), end=st.sampled_from([None, 2]), data=st.data())
@settings(max_examples=80)
def test_windows_cover_the_context_and_targets_are_exact(
    byte_tokenizer: Any, words: list[str], length: int, end: int | None, data: Any
) -> None:
    context = "  ".join(words)
    features, cut = windows_of(byte_tokenizer, length, end).encode([("is", context)])
    seen = [False] * len(context)
    for feature in features:
        assert cut == 0
        assert feature["length"] == len(feature["input_ids"]) == len(feature["spans"]) <= length
        for a, b in feature["spans"]:
            assert (a, b) == (-1, -1) or context[a:b] == context[a:b].strip() != ""
            seen[max(a, 0) : max(b, 0)] = [True] * (max(b, 0) - max(a, 0))
    assert all(is_seen or letter == " " for is_seen, letter in zip(seen, context, strict=True))
    number = data.draw(st.integers(0, len(words) - 1))
    start = sum(len(word) + 2 for word in words[:number])
    stop = start + len(words[number])
    for feature in features:
        first, last = target(feature, start, stop)
        if first != feature["null"]:
            spans = feature["spans"]
            # A byte of a letter like é has that letter's span, so edges are whole letters.
            assert spans[first][0] == start
            assert spans[last][1] == stop


class Finds(nn.Module):
    """Points at one token as start, at another as end, and at the first token a little."""

    def __init__(self, start: int, end: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.start, self.end = start, end

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        null = torch.zeros_like(input_ids)
        null[:, 0] = 1
        starts, ends = (3.0 * (input_ids == token) + null for token in (self.start, self.end))
        return SimpleNamespace(start_logits=starts, end_logits=ends)


@given(before=st.integers(0, 90), after=st.integers(0, 90))
@settings(max_examples=40)
def test_an_answer_is_found_in_any_window(byte_tokenizer: Any, before: int, after: int) -> None:
    start, end = (byte_tokenizer(text)["input_ids"][0] for text in ("7", "9"))
    reader = Reader(Finds(start, end), windows_of(byte_tokenizer), _settings(), pad=0)
    context = "x," * before + " 7,8,9 " + ",y" * after
    found, none = reader.predict([("is", context), ("is", "x,y" * (before + 1))])
    assert found.answer == "7,8,9" == context[found.start : found.end]
    assert (none.answer, none.start, none.end) == ("", 0, 0)
    assert found.summary() == "7,8,9"
    assert 0.5 < found.score <= 1


def _settings(**changes: Any) -> QuestionSettings:
    values = {
        "max_length": 40, "stride": 10, "no_answer": True, "null_threshold": 0.0, "n_best": 20,
        "max_answer_length": 30,
    }  # fmt: skip
    return QuestionSettings(**{**values, **changes})


def test_the_limits_of_an_answer_hold(byte_tokenizer: Any) -> None:
    start, end = (byte_tokenizer(text)["input_ids"][0] for text in ("7", "9"))
    model, windows = Finds(start, end), windows_of(byte_tokenizer)
    asked = [("is", "7,8,8,8,8,9 x")]
    short = Reader(model, windows, _settings(max_answer_length=4, no_answer=False), pad=0)
    assert short.predict(asked)[0].answer != "7,8,8,8,8,9"
    reluctant = Reader(model, windows, _settings(null_threshold=-10.0), pad=0)
    assert reluctant.predict(asked)[0].answer == ""
    backwards = Reader(Finds(end, start), windows, _settings(), pad=0)
    assert "7,8,8,8,8,9" not in backwards.predict(asked)[0].answer


@pytest.mark.parametrize("model_type", MODELS)
@pytest.mark.parametrize("rows", [ROWS, UNTOLD], ids=["told", "untold"])
def test_it_learns_saves_and_reloads(
    train: Any, reload: Any, tmp_path: Path, model_type: str, rows: Examples[Question]
) -> None:
    params = QuestionParams(epochs=8, learning_rate=3e-3, max_length=32, stride=4)
    outcome, attached = train(QuestionAnswering(), model_type, rows, params)
    scorer = outcome.scorer
    learner = QuestionLearner(scorer)
    batch = learner.collate(learner.features(rows))
    with torch.no_grad():
        loss = learner.loss(scorer.model, batch) / learner.units(batch)
    allowed = batch["allowed"].sum(1).float().log().mean()
    assert loss < 0.8 * allowed, "it does no better than guessing"
    again = reload(QuestionAnswering(), outcome, attached, tmp_path / "version")
    np.testing.assert_array_equal(again.score(rows).scores, scorer.score(rows).scores)
    for found, item in zip(scorer.predict(rows.inputs), rows.items, strict=True):
        assert found.answer == item.context[found.start : found.end]
    alone = scorer.predict(rows.inputs[:1])[0]
    assert alone.score == pytest.approx(scorer.score(rows).scores[0, 0], abs=1e-5)


def test_the_loss_does_not_see_padding_or_the_question(make_base: Any) -> None:
    base = make_base("bert", QuestionAnswering().head(ROWS, QuestionParams()))
    from adapterhub_lite_tasks.questions import make_reader

    learner = QuestionLearner(make_reader(base, _settings()))
    features = learner.features(rows_of(last_word("the saw"), last_word("the saw " * 8 + "hums")))
    with torch.no_grad():
        alone = [learner.loss(base.model, learner.collate([feature])) for feature in features]
        together = learner.loss(base.model, learner.collate(features))
    assert together.item() == pytest.approx(sum(loss.item() for loss in alone), rel=1e-5)


def test_long_questions_are_cut_and_counted(byte_tokenizer: Any) -> None:
    features, cut = windows_of(byte_tokenizer).encode([("xy" * 100, "x y z"), ("a", "b")])
    assert cut == 1
    assert [feature["length"] <= 40 for feature in features] == [True, True]
    assert any(a >= 0 for a, _ in features[0]["spans"])


def test_answers_that_fit_no_window_are_no_training(train: Any, run: Any) -> None:
    text = "the very loud drum " * 20
    rows = rows_of(Question("the", text.strip(), (text.strip(),), (0,)))
    with pytest.raises(DataError, match="no answer lies within"):
        train(QuestionAnswering(), "bert", rows, QuestionParams(max_length=32, stride=4))
    assert run.of("answers-in-no-window") == [{"rows": 1, "of": 1}]


def test_answers_have_to_stand_where_they_are_said_to() -> None:
    rows = rows_of(Question("a", "the saw hums", ("saw",), (3,)), last_word("a bolt"))
    assert "1 rows" in QuestionAnswering().check(rows, QuestionParams())[0]
    told = QuestionParams(no_answer="no")
    assert "no answer" in QuestionAnswering().check(UNTOLD, told)[0]


@pytest.mark.parametrize(
    ("found", "right", "f1"),
    [("The saw!", "saw", 1.0), ("", "", 1.0), ("saw", "", 0.0), ("red saw", "saw blade", 0.5)],
)
def test_word_f1_is_squads(found: str, right: str, f1: float) -> None:
    assert word_f1(found, right) == f1
