"""In parallel every member answers each input, as it does alone."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from adapterhub_lite import api
from adapterhub_lite.data.table import TextSet
from adapterhub_lite.errors import CapabilityError, RecipeError
from adapterhub_lite.inference.fleet import Asked, Fleet
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.predictions import Several
from tests.unit.inference.conftest import Bases, Publish, close

TEXTS = ("the apple is sweet", "a heavy drill", "that quiet flute and the violin of my choir")
LORAS: tuple[dict[str, Any], ...] = (
    {"name": "lora", "r": 2},
    {"name": "lora", "r": 3, "target_modules": ["query", "dense"]},
    {"name": "lora", "r": 4, "use_rslora": True},
)


def parallel(*members: Any, answer: str = "each", publish: str = "both") -> Any:
    composition = {"name": "parallel", "answer": answer}
    recipe = {"composition": composition, "members": list(members), "publish": publish}
    api.compose(recipe)
    return api.load(publish)


def require_each_as_alone(found: Sequence[Any], refs: Sequence[str], inputs: Sequence[Any]) -> None:
    """Fail unless every input has the answers of all versions, each as it gives it alone."""
    for ref in refs:
        alone = api.load(ref)
        for answer, given in zip(found, inputs, strict=True):
            assert isinstance(answer, Several)
            assert tuple(answer.answers) == tuple(ref.partition("@")[0] for ref in refs)
            (expected,) = alone.predict([given])
            own = answer.answers[ref.partition("@")[0]].record()
            assert close(own, expected.record()), (ref, given)


def test_loras_answer_in_one_pass(publish: Publish, passes: list[int]) -> None:
    labels = [("a", "b"), ("c", "d", "e"), ("f", "g", "h", "i")]
    refs = [publish(f"v{n}", LORAS[n], labels=labels[n]) for n in range(3)]
    made = parallel(*refs)
    assert passes == []  # composing compares members one by one
    require_each_as_alone(made.predict(TEXTS), refs, TEXTS)
    assert passes == [2, 3]  # tried with two, then all three in one
    assert made.classes == tuple("abcdefghi")
    fleet = Fleet(api.open_registry(), get_catalogue())
    rows = [Asked(ref="both", input=text) for text in TEXTS]
    require_each_as_alone(fleet.predict(rows), refs, TEXTS)
    assert fleet.loaded()["both@1"] > 0


def test_members_of_any_method_and_task_answer_one_text(publish: Publish) -> None:
    refs = [
        publish("topics", LORAS[0]),
        publish("marks", LORAS[1], "regression"),
        publish("moods", "bottleneck", labels=("good", "bad")),
        publish("names", {"name": "prefix", "num_virtual_tokens": 3}, "tagging"),
        publish("near", LORAS[2], "embedding"),
    ]
    made = parallel(*refs)
    require_each_as_alone(made.predict(TEXTS), refs, TEXTS)
    assert made.answers == "several-answers"
    assert made.member("marks").task == "text-regression"
    (answer,) = made.predict([TEXTS[0]])
    record = answer.record()
    assert record["input"] == TEXTS[0]
    assert record["answers"]["names"]["words"] == TEXTS[0].split()
    assert answer.summary().startswith("topics: ")
    with pytest.raises(CapabilityError, match="no one task"):
        made.task  # noqa: B018
    with pytest.raises(CapabilityError, match="no class probabilities"):
        made.predict_proba(TEXTS)
    with pytest.raises(CapabilityError, match="rows have one truth"):
        made.score(TextSet(TEXTS, (("fruit",),) * 3))
    with pytest.raises(TypeError, match=r"input 1 is tuple, not a text"):
        made.predict([TEXTS[0], ("a", "pair")])


@pytest.mark.parametrize(
    ("objective", "base", "inputs"),
    [
        ("question-answering", "bert", (("fruit", "a ripe plum is sweet"), ("tool", "my saw"))),
        ("embedding", "bert", (TEXTS[0], ("a plum", "the ripe pear"))),
        ({"name": "causal-lm", "max_new_tokens": 4}, "llama", TEXTS[:2]),
    ],
)
def test_inputs_keep_the_form_of_their_task(
    objective: Any, base: str, inputs: Any, publish: Publish, bases: Bases
) -> None:
    refs = [publish(f"v{n}", LORAS[n * 2], objective, base=bases(base)) for n in range(2)]
    found = parallel(*refs).predict(inputs)
    require_each_as_alone(found, refs, inputs)
    assert [answer.record()["input"] for answer in found] == [
        list(given) if isinstance(given, tuple) else given for given in inputs
    ]


def test_the_mean_is_a_classifier(publish: Publish) -> None:
    refs = [publish("a", LORAS[0]), publish("b", LORAS[1]), publish("c", "bottleneck")]
    members = [{"ref": ref, "weight": weight} for ref, weight in zip(refs, (1, 2, 5), strict=True)]
    made = parallel(*members, answer="mean")
    alone = [api.load(ref).predict_proba(TEXTS) for ref in refs]
    expected = (alone[0] + 2 * alone[1] + 5 * alone[2]) / 8
    np.testing.assert_allclose(made.predict_proba(TEXTS), expected, atol=1e-6)
    assert made.task == "text-classification"
    scored = made.score(TextSet(TEXTS, (("fruit",), ("tool",), ("music",))))
    assert scored.decision.argmax(1).tolist() == expected.argmax(1).tolist()
    manifest = api.open_registry().resolve("both").manifest
    assert manifest.task == "text-classification"


REFUSED: list[tuple[str, Callable[[Publish], list[Any]], str]] = [
    (
        "each",
        lambda publish: [publish("a"), publish("q", objective="question-answering")],
        "q is asked a question about a context, and a a text",
    ),
    (
        "each",
        lambda publish: [{"ref": publish("a"), "weight": 2}, publish("b")],
        "a has a weight, and only a mean is weighted",
    ),
    (
        "mean",
        lambda publish: [publish("a"), publish("b", labels=("yes", "no", "perhaps"))],
        "a and b have different labels",
    ),
    (
        "mean",
        lambda publish: [publish("a"), publish("r", objective="regression")],
        "r does text-regression, and has no probabilities",
    ),
]


@pytest.mark.parametrize(("answer", "members", "reason"), REFUSED)
def test_members_that_cannot_be_asked_the_same(
    answer: str, members: Callable[[Publish], list[Any]], reason: str, publish: Publish
) -> None:
    with pytest.raises(CapabilityError, match=reason):
        parallel(*members(publish), answer=answer)


def test_no_member_is_the_default(publish: Publish) -> None:
    recipe = {"composition": "parallel", "members": [publish("a"), publish("b")], "head": "a"}
    with pytest.raises(RecipeError, match="asks every member"):
        api.plan_compose(recipe)
