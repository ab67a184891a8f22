"""In a route each input goes to one member, and is answered as by it alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite import api
from adapterhub_lite.data.examples import Examples, ValuedText
from adapterhub_lite.data.table import TextSet
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.predictions import Valued
from adapterhub_lite.scoring import Scored
from adapterhub_lite_compositions.routed import Routed
from adapterhub_lite_compositions.rules import Rule, by_words, text_of
from tests.unit.composition.conftest import TEXTS, Adapter

Compose = Callable[..., Any]


def rule(*words: Sequence[str], default: int = 0) -> Rule:
    members: Any = [SimpleNamespace(params=SimpleNamespace(words=list(w))) for w in words]
    return by_words(members, default)


def test_each_text_is_answered_by_its_member(adapter: Adapter, compose: Compose) -> None:
    a, b = adapter("a"), adapter("b", "bottleneck", labels=("yes", "no"))
    compose("route", {"ref": a, "words": ["apple", "drill"]}, {"ref": b, "words": ["flute"]},
            head="b")  # fmt: skip
    routed = api.load("made")
    assert routed.classes == ("fruit", "tool", "music", "yes", "no")
    found = routed.predict_proba(list(TEXTS))
    by_a, by_b = (api.load(ref).predict_proba(list(TEXTS)) for ref in (a, b))
    for row, (member, columns, own) in enumerate(
        [
            (a, slice(0, 3), by_a),
            (a, slice(0, 3), by_a),
            (b, slice(3, 5), by_b),
            (b, slice(3, 5), by_b),
        ]
    ):
        np.testing.assert_allclose(found[row, columns], own[row], atol=1e-6, err_msg=member)
    np.testing.assert_allclose(found.sum(1), 1.0)
    assert [p.record()["label"] in ("yes", "no") for p in routed.predict(list(TEXTS))] == [
        False, False, True, True,
    ]  # fmt: skip
    rows = TextSet(TEXTS, (("fruit",), ("tool",), ("yes",), ("no",)))
    assert routed.score(rows).truth.shape == (4, 5)


@pytest.mark.parametrize(
    ("text", "member"),
    [
        ("the INVOICE is late", 0),
        ("invoices are late", 2),
        ("a parcel, and an invoice", 0),
        ("my parcel.", 1),
        ("parcel post", 1),
        ("an unparcelled parcels", 2),
        ("subparcel", 2),
        ("C++ is hard", 1),
        ("a+b.c", 2),
        ("", 2),
    ],
)
def test_a_word_is_found_whole_and_in_any_case(text: str, member: int) -> None:
    assert rule(["invoice"], ["parcel", "c++"], [], default=2)([text]) == [member]


def test_an_input_of_several_texts_is_read_whole() -> None:
    assert text_of(("who came?", "Ada came")) == "who came? Ada came"
    messages = [
        {"role": "system", "content": "x"},
        {"role": "user", "content": "first"},
        {"role": "user", "content": "second"},
        {"role": "assistant", "content": "y"},
    ]
    assert text_of(messages) == "second"
    assert text_of(messages[3:]) == "y"


@dataclass
class Counted:
    """Answers with its own number, and keeps what it was asked."""

    number: float
    classes: tuple[str, ...] = ()
    asked: list[Any] = field(default_factory=list)

    def predict(self, inputs: Sequence[Any], progress: Any = None) -> Any:
        self.asked += inputs
        return [Valued(text, self.number) for text in inputs]

    def score(self, rows: Any, progress: Any = None) -> Scored:
        truth = np.array([item.truth for item in rows.items])
        own = np.full(len(rows), self.number)
        return Scored(truth, own, own[:, None])


@given(st.lists(st.sampled_from(["one x", "two y", "neither", "one two"]), min_size=1, max_size=12))
def test_answers_come_back_in_the_order_of_the_inputs(texts: list[str]) -> None:
    routed = Routed([Counted(1.0), Counted(2.0)], rule(["one"], ["two"], default=1))
    expected = [1.0 if "one" in text else 2.0 for text in texts]
    assert [answer.record()["text"] for answer in routed.predict(texts)] == texts
    assert [answer.value for answer in routed.predict(texts)] == expected  # type: ignore[attr-defined]
    rows = Examples("valued-text", [ValuedText(text, float(n)) for n, text in enumerate(texts)], {})
    scored = routed.score(rows)
    assert scored.decision.tolist() == expected
    assert scored.truth.tolist() == list(map(float, range(len(texts))))
    assert scored.scores.shape == (len(texts), 1)


def test_a_member_that_would_never_be_asked_is_refused(adapter: Adapter, compose: Compose) -> None:
    a, b = adapter("a"), adapter("b")
    with pytest.raises(CapabilityError, match="b has no words, and would never be asked"):
        compose("route", a, b)
    compose("route", a, {"ref": b, "words": ["drill"]})
