"""A route of language models: it learns from what they were trained on, and it streams."""

import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite import api
from adapterhub_lite.errors import RecipeError
from adapterhub_lite.inference.predictor import Predictor
from adapterhub_lite.predictions import Generated
from adapterhub_lite.protocols import GenerationOptions
from adapterhub_lite_compositions.routed import routed
from tests.unit.composition.routes import FRUIT, MUSIC, NEW, NUMBERS

NAMES = ("fruit", "music")


@pytest.fixture
def trained(bases: Callable[..., Path], tmp_path: Path) -> dict[str, Path]:
    """Train a language model on each kind of texts for a step; return their rows' files."""
    files = {}
    for name, texts in zip(NAMES, (FRUIT, MUSIC), strict=True):
        files[name] = tmp_path / f"{name}.jsonl"
        files[name].write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        objective = {"name": "causal-lm", "block_size": 16, "max_steps": 1, "max_new_tokens": 6}
        api.train(
            {
                "base": str(bases("llama")),
                "method": {"name": "lora", "r": 2},
                "objective": objective | {"learning_rate": 0.5 if name == "music" else 0.1},
                "data": {"train": str(files[name])},
                "publish": name,
            }
        )
    return files


def streamed(predictor: Any, asked: Any, options: GenerationOptions | None = None) -> str:
    return "".join(predictor.stream(asked, options))


def test_writers_learn_from_their_training_rows_and_stream(
    trained: dict[str, Path], tmp_path: Path
) -> None:
    recipe = {"composition": {"name": "route", "by": "centroid"}, "members": list(NAMES)}
    made = api.compose({**recipe, "publish": "made"})
    assert made.learnt is not None
    assert made.learnt.figures["examples"] == {"fruit": len(FRUIT), "music": len(MUSIC)}
    model = api.load("made")
    alone = [api.load(name) for name in NAMES]
    expected = [alone[number] for number in NUMBERS]
    answers = model.predict(list(NEW))
    for text, own, given in zip(NEW, expected, answers, strict=True):
        assert given.record() == own.predict([text])[0].record()
        assert streamed(model, text) == streamed(own, text) == given.record()["text"]
    short = GenerationOptions(max_new_tokens=2)
    (cut,) = model.predict([NEW[1]], options=[short])
    assert cut.record()["text"] == streamed(model, NEW[1], short) != streamed(model, NEW[1])
    trained["music"].write_text(json.dumps({"text": "another text"}) + "\n")
    with pytest.raises(RecipeError, match=r"its training rows have changed since: .*music\.jsonl"):
        api.plan_compose(recipe)
    trained["music"].unlink()
    with pytest.raises(RecipeError, match="its training rows cannot be read"):
        api.plan_compose(recipe)


@dataclass
class Echo:
    """Writes its own name and what it was asked."""

    name: str
    chats: bool
    classes: tuple[str, ...] = ()

    def predict(self, inputs: Sequence[Any], progress: Any = None) -> Any:
        return self.write(inputs, [None] * len(inputs))

    def write(self, inputs: Sequence[Any], options: Any, progress: Any = None) -> Any:
        given = zip(inputs, options, strict=True)
        return [Generated(one, f"{self.name} {one} {own}", "stop", 1, 1) for one, own in given]

    def stream(self, asked: Any, options: Any) -> Generator[str, None, Generated]:
        (one,) = self.write([asked], [options])
        yield from (one.text[:3], one.text[3:])
        return one  # type: ignore[no-any-return]

    def score(self, rows: Any, progress: Any = None) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("chats", [(True, True), (False, False), (True, False)])
def test_a_text_is_a_turn_for_those_that_chat(chats: tuple[bool, bool]) -> None:
    def rule(inputs: Sequence[Any]) -> list[int]:
        return [int("music" in str(item)) for item in inputs]

    writers: list[Any] = [Echo("first", chats[0]), Echo("second", chats[1])]
    model = Predictor(routed(writers, rule), "made", "text-generation", "dialogue")
    asked, own = ["some music", "a plum"], [GenerationOptions(seed=1), GenerationOptions(seed=2)]
    for options in (None, own):
        found = model.predict(asked, options=options)
        for text, number, place, given in zip(asked, (1, 0), (0, 1), found, strict=True):
            turn = [{"role": "user", "content": text}] if chats[number] else text
            option = None if options is None else options[place]
            expected = f"{('first', 'second')[number]} {turn} {option}"
            assert (given.record()["text"], given.record()["prompt"]) == (expected, text)
            assert streamed(model, text, option) == expected
