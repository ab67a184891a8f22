"""In a switch one member answers, as it does alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapterhub_lite import api
from adapterhub_lite.errors import CapabilityError, UnknownNameError
from tests.unit.composition.conftest import TEXTS, Adapter

Compose = Callable[..., Any]


def test_every_member_answers_as_alone_to_the_bit(adapter: Adapter, compose: Compose) -> None:
    refs = {
        "a": adapter("a"),
        "b": adapter("b", "bottleneck", labels=("yes", "no")),
        "c": adapter("c", {"name": "prefix", "num_virtual_tokens": 3}, labels=("x", "y", "z", "w")),
    }
    made = compose("switch", *refs.values())
    assert made.compared.difference == 0.0
    loaded = api.load("made")
    assert loaded.members == ("a", "b", "c")
    for name, ref in refs.items():
        alone = api.load(ref)
        member = loaded.member(name)
        assert member.classes == alone.classes
        texts = list(TEXTS)
        assert np.array_equal(member.predict_proba(texts), alone.predict_proba(texts))
    assert np.array_equal(loaded.predict_proba(texts), api.load("a").predict_proba(texts))


def test_the_default_is_the_first_or_the_named_one(adapter: Adapter, compose: Compose) -> None:
    a, b = adapter("a"), adapter("b", labels=("yes", "no"))
    compose("switch", a, b)
    compose("switch", a, b, head="b")
    assert api.load("made@1").classes == ("fruit", "tool", "music")
    assert api.load("made@2").classes == ("yes", "no")


def test_members_keep_the_precision_of_their_own_base(adapter: Adapter, compose: Compose) -> None:
    refs = adapter("a"), adapter("b", loader="bf16")
    compose("switch", *refs)
    loaded, texts = api.load("made"), list(TEXTS)
    answers = [loaded.member(name).predict_proba(texts) for name in ("a", "b")]
    for found, ref in zip(answers, refs, strict=True):
        assert np.array_equal(found, api.load(ref).predict_proba(texts))


def test_the_base_is_held_once(adapter: Adapter, compose: Compose) -> None:
    compose("switch", adapter("a"), adapter("b", "bottleneck"))
    loaded: Any = api.load("made")
    models = [loaded.member(name)._scorer.model for name in ("a", "b")]
    words = [
        next(v for n, v in m.named_parameters() if n.endswith("word_embeddings.weight"))
        for m in models
    ]
    assert words[0].data_ptr() == words[1].data_ptr()


def test_a_misspelt_member_gets_the_nearest(adapter: Adapter, compose: Compose) -> None:
    compose("switch", adapter("tickets"), adapter("mails"))
    with pytest.raises(UnknownNameError) as refused:
        api.load("made").member("ticket")
    assert refused.value.nearest == "tickets"
    with pytest.raises(CapabilityError, match="one model"):
        api.load("mails").member("tickets")


def test_two_versions_of_one_name_are_told_apart(
    adapter: Adapter, compose: Compose, tmp_path: Path
) -> None:
    adapter("a")
    adapter("b")
    compose("average", "a", "b", publish="a")
    compose("switch", "a@1", "a@2")
    assert api.load("made").members == ("a-1", "a-2")
