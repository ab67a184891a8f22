"""Texts by options: each row by its own, the same in any company, and piece by piece."""

import threading
from typing import Any

import numpy as np
import pytest

from adapterhub_lite import api
from adapterhub_lite.errors import CapabilityError, DataError
from adapterhub_lite.inference.fleet import Asked, Fleet
from adapterhub_lite.inference.generation import GenerationOptions
from adapterhub_lite.plugins import get_catalogue
from tests.unit.inference.conftest import Bases, Publish, close

TEXTS = ("the apple is sweet", "a heavy drill", "my rusty saw is loud and the plum", "fruit")
OPTIONS = (
    None,
    GenerationOptions(max_new_tokens=3),
    GenerationOptions(temperature=1.0, seed=3, max_new_tokens=9),
    GenerationOptions(temperature=1.5, seed=4, top_k=5, top_p=0.9),
)


@pytest.fixture
def writers(publish: Publish, bases: Bases) -> list[str]:
    """Return two LoRA versions that write at most eight tokens."""
    objective = {"name": "causal-lm", "max_new_tokens": 8}
    shapes = ({"name": "lora", "r": 2}, {"name": "lora", "r": 3, "target_modules": "all-linear"})
    return [
        publish(f"w{number}", shape, objective, base=bases("llama"))
        for number, shape in enumerate(shapes)
    ]


def test_rows_write_by_their_own_options_as_alone(writers: list[str]) -> None:
    found = Fleet(api.open_registry(), get_catalogue())
    rows = [
        Asked(ref=ref, input=text, options=options)
        for text, options in zip(TEXTS, OPTIONS, strict=True)
        for ref in writers
    ]
    for row, answer in zip(rows, found.predict(rows), strict=True):
        (expected,) = api.load(row.ref).predict([row.input], options=[row.options])
        assert not isinstance(answer, Exception)
        assert close(answer.record(), expected.record())


def test_options_win_over_the_versions_own(writers: list[str]) -> None:
    predictor = api.load(writers[0])

    def write(**options: Any) -> str:
        (answer,) = predictor.predict([TEXTS[0]], options=[GenerationOptions(**options)])
        text: str = answer.record()["text"]
        return text

    whole = predictor.predict([TEXTS[0]])[0].record()["text"]
    own = whole.split()
    assert whole.startswith(write(max_new_tokens=2))
    assert len(write(max_new_tokens=2)) < len(write(max_new_tokens=12))
    assert write(stop=(own[2],)).split() == own[: own.index(own[2])]
    drawn = {write(temperature=2.0, seed=seed) for seed in range(4)}
    assert len(drawn) == 4
    assert write(temperature=2.0, seed=1) == write(temperature=2.0, seed=1)
    assert write(temperature=2.0, seed=1, top_k=1).split() == own


@pytest.mark.parametrize("options", [*OPTIONS, GenerationOptions(stop=("zz", "and"))])
def test_pieces_joined_are_what_is_predicted(
    options: GenerationOptions | None, writers: list[str]
) -> None:
    predictor = api.load(writers[1])
    pieces = list(predictor.stream(TEXTS[2], options))
    (whole,) = predictor.predict([TEXTS[2]], options=[options])
    assert "".join(pieces) == whole.record()["text"]
    assert len(pieces) > 1 or len(pieces[0].split()) < 3


def test_a_reader_who_leaves_ends_the_text(writers: list[str]) -> None:
    pieces = api.load(writers[0]).stream(TEXTS[0], GenerationOptions(max_new_tokens=60))
    next(pieces)
    assert any(thread.name == "generate" for thread in threading.enumerate())
    pieces.close()  # type: ignore[attr-defined]
    assert not any(thread.name == "generate" for thread in threading.enumerate())


def test_what_cannot_be_is_refused(writers: list[str], publish: Publish, bases: Bases) -> None:
    classifier = api.load(publish("c"))
    with pytest.raises(CapabilityError, match="writes no text piece by piece"):
        classifier.stream("plum")
    with pytest.raises(CapabilityError, match="takes no generation options"):
        classifier.predict(["plum"], options=[GenerationOptions(seed=1)])
    with pytest.raises(CapabilityError, match="gives no embeddings"):
        classifier.embed(["plum"])
    beams = {"name": "causal-lm", "num_beams": 2, "max_new_tokens": 4}
    searching = api.load(publish("b", "lora", beams, base=bases("llama")))
    with pytest.raises(CapabilityError, match="no text before its end"):
        next(searching.stream("plum"))
    with pytest.raises(CapabilityError, match="searches with beams"):
        searching.predict(["plum"], options=[GenerationOptions(temperature=1.0)])
    with pytest.raises(DataError, match="fills the model's 80 positions"):
        next(api.load(writers[0]).stream("plum " * 90))


@pytest.mark.parametrize(
    "wrong",
    [{"max_new_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_k": -1}, {"stop": ("",)}],
)
def test_options_without_meaning_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=next(iter(wrong))):
        GenerationOptions(**wrong)


def test_embeddings_are_rows(publish: Publish) -> None:
    predictor = api.load(publish("e", "lora", "embedding"))
    found = predictor.embed(list(TEXTS))
    assert found.shape == (4, 32)
    assert np.allclose(np.linalg.norm(found, axis=1), 1)
    assert np.allclose(found[0], predictor.predict([TEXTS[0]])[0].record()["embedding"], atol=1e-6)
    with pytest.raises(TypeError, match="no pairs"):
        predictor.embed([("a", "b")])  # type: ignore[list-item]
