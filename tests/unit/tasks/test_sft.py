"""Supervised fine-tuning: long completions are counted, answers stop, versions reload."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adapterhub_lite.data.examples import Dialogue, Examples, Message
from adapterhub_lite.errors import CapabilityError, DataError, IntegrityError
from adapterhub_lite.testing import TINY_ROWS
from adapterhub_lite_tasks.params import SftParams
from adapterhub_lite_tasks.sft import SupervisedFineTuning

FAST = {"epochs": 12, "learning_rate": 3e-3, "max_new_tokens": 4, "template": "plain"}


def rows_of(*items: Dialogue) -> Examples[Dialogue]:
    return Examples("dialogue", items, {})


def chat(*contents: str) -> Dialogue:
    roles = ("user", "assistant") * len(contents)
    pairs = zip(roles, contents, strict=False)
    return Dialogue(tuple(Message(role, text) for role, text in pairs))  # type: ignore[arg-type]


ANSWERS = {"fruit": "juicy fruit", "tool": "tool", "music": "quiet music"}
CHATS = rows_of(*(chat(text, ANSWERS[label], "the", "bolt") for text, label in TINY_ROWS))
PLAIN = rows_of(
    *(Dialogue(chat(text, ANSWERS[label]).messages, plain=True) for text, label in TINY_ROWS)
)


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("rows", [CHATS, PLAIN], ids=["chats", "plain"])
def test_it_learns_saves_and_reloads(
    train: Any,
    reload: Any,
    tmp_path: Path,
    model_type: str,
    packing: bool,
    rows: Examples[Dialogue],
) -> None:
    params = SftParams(**FAST, packing=packing, max_length=40, score_generations=True)
    outcome, attached = train(SupervisedFineTuning(), model_type, rows, params)
    scorer = outcome.scorer
    scored = scorer.score(rows)
    nats, tokens = scored.scores.sum(0)
    assert nats / tokens < 2.0, "a guess among the words costs 3.9 nats"
    again = reload(SupervisedFineTuning(), outcome, attached, tmp_path / "version")
    second = again.score(rows)
    np.testing.assert_array_equal(second.scores, scored.scores)
    assert list(second.decision) == list(scored.decision)
    np.testing.assert_allclose(scorer.likelihood(rows.select([4])), scored.scores[4:5], atol=1e-4)
    assert scorer.predict([rows.inputs[4]])[0].text == scored.decision[4]


def test_an_overfitted_model_gives_its_answer_and_stops(train: Any) -> None:
    params = SftParams(**{**FAST, "epochs": 60})
    rows = rows_of(chat("the apple", "juicy fruit"), chat("a saw", "heavy"))
    scorer = train(SupervisedFineTuning(), "gpt2", rows, params)[0].scorer
    found = scorer.predict(rows.inputs)
    assert [(one.text, one.finish) for one in found] == [("juicy fruit", "stop"), ("heavy", "stop")]
    assert scorer.predict([[{"role": "user", "content": "a saw"}]])[0].text == "heavy"


LONG = rows_of(chat("the", "saw"), chat("the " * 30, "saw"), chat("the", "saw " * 40))


def test_long_dialogues_are_an_error_unless_told_otherwise(train: Any) -> None:
    with pytest.raises(DataError, match=r"2 of 3 dialogues are longer than 24 tokens") as caught:
        train(SupervisedFineTuning(), "gpt2", LONG, SftParams(template="plain", max_length=24,
              min_prompt=4))  # fmt: skip
    assert "truncate" in caught.value.hint


@pytest.mark.parametrize(("policy", "event"), [("drop", "dropped"), ("truncate", "truncated")])
def test_long_dialogues_are_counted(train: Any, run: Any, policy: str, event: str) -> None:
    params = SftParams(
        template="plain", max_length=24, min_prompt=4, too_long=policy, max_steps=1, epochs=1
    )
    train(SupervisedFineTuning(), "gpt2", LONG, params)
    (fields,) = run.of(event)
    assert (fields["rows"], fields["of"], fields["max_length"]) == (2, 3, 24)
    # The long prompt's answer is whole; the long answer lost its end.
    assert fields["completions"] == (2 if policy == "drop" else 1)


def test_nothing_left_is_an_error(train: Any) -> None:
    params = SftParams(template="plain", max_length=8, min_prompt=2, too_long="drop")
    with pytest.raises(DataError, match="no dialogue is left"):
        train(SupervisedFineTuning(), "gpt2", rows_of(chat("the " * 9, "saw")), params)


def test_sampling_is_seeded(train: Any) -> None:
    params = SftParams(**{**FAST, "epochs": 1, "max_new_tokens": 8}, sampling_temperature=1.5)
    scorer = train(SupervisedFineTuning(), "gpt2", CHATS, params)[0].scorer
    state = torch.get_rng_state()
    first = [one.text for one in scorer.predict(CHATS.inputs)]
    assert first == [one.text for one in scorer.predict(CHATS.inputs)]
    assert len(set(first)) > 1
    assert torch.equal(state, torch.get_rng_state()), "the global generator is left alone"


def test_another_template_is_an_integrity_error(train: Any, make_base: Any, tmp_path: Path) -> None:
    params = SftParams(**{**FAST, "epochs": 1})
    outcome, _ = train(SupervisedFineTuning(), "gpt2", CHATS, params)
    SupervisedFineTuning().save(outcome, tmp_path)
    base = make_base("gpt2", SupervisedFineTuning().head(CHATS, params))
    base.tokenizer.chat_template = "{{ messages }}"
    with pytest.raises(IntegrityError, match="chat template"):
        SupervisedFineTuning().load(base, tmp_path)


def test_a_prompt_that_fills_the_model_is_refused(train: Any) -> None:
    scorer = train(SupervisedFineTuning(), "gpt2", PLAIN, SftParams(**{**FAST, "epochs": 1}))[
        0
    ].scorer
    with pytest.raises(DataError, match="80 positions"):
        scorer.predict(["the " * 90])
    with pytest.raises(CapabilityError, match="not chats"):
        scorer.predict([[{"role": "user", "content": "the"}]])


@pytest.mark.parametrize(
    ("item", "problem"),
    [(chat("the", "saw", "and"), "do not end with a turn"), (chat("the", " "), "empty answer")],
)
def test_dialogues_without_answer_are_refused(item: Dialogue, problem: str) -> None:
    assert problem in SupervisedFineTuning().check(rows_of(item), SftParams())[0]
