"""In a stack every member is active, each changing what those before it made."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapterhub_lite import api
from adapterhub_lite.errors import CapabilityError
from tests.unit.composition.conftest import LABELS, TEXTS, Adapter
from tests.unit.composition.models import (
    add_loras,
    bare,
    files_of,
    hook_bottlenecks,
    probabilities,
    put_head,
)

Compose = Callable[..., Any]
Bases = Callable[..., Path]


def by_us(ref: str) -> Any:
    return api.load(ref).predict_proba(list(TEXTS))


@pytest.mark.parametrize("head", [None, "a"])
def test_of_loras_it_is_the_sum_of_their_updates(
    adapter: Adapter, bases: Bases, compose: Compose, head: str | None
) -> None:
    a, b = adapter("a", {"name": "lora", "r": 4}), adapter("b", {"name": "lora", "r": 2})
    made = compose("stack", a, b, **({"head": head} if head else {}))
    model = bare(bases(), len(LABELS))
    put_head(model, [(1.0, files_of(head or b)[1])])
    add_loras(model, {a: 1.0, b: 1.0})
    expected = probabilities(model, bases())
    np.testing.assert_allclose(by_us("made"), expected, atol=1e-6)
    assert all(np.abs(by_us(one) - expected).max() > 0.01 for one in (a, b))
    assert made.compared.difference < 1e-6


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_bottlenecks_are_applied_in_their_order(
    adapter: Adapter, bases: Bases, compose: Compose, order: str
) -> None:
    refs = {
        "a": adapter("a", {"name": "bottleneck", "bottleneck_size": 3}),
        "b": adapter("b", {"name": "bottleneck", "style": "houlsby", "non_linearity": "relu"}),
    }
    compose("stack", *(refs[name] for name in order), head="a")
    outputs = []
    for names in (order, order[::-1]):
        model = bare(bases(), len(LABELS))
        put_head(model, [(1.0, files_of(refs["a"])[1])])
        hook_bottlenecks(model, {refs[name]: 1.0 for name in names}, stacked=True)
        outputs.append(probabilities(model, bases()))
    np.testing.assert_allclose(by_us("made"), outputs[0], atol=1e-6)
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-4


@pytest.mark.parametrize("method", ["ia3", "loha", "lokr"])
def test_other_methods_are_stacked_as_they_would_be_merged(
    adapter: Adapter, compose: Compose, method: str
) -> None:
    made = compose("stack", adapter("a", method), adapter("b", method))
    assert made.compared.reference.startswith("the members merged")
    assert made.compared.difference < 1e-5
    assert np.abs(by_us("made") - by_us("b")).max() > 1e-3


def test_on_a_quantised_base_it_is_loaded_and_not_compared(
    adapter: Adapter, compose: Compose
) -> None:
    pytest.importorskip("bitsandbytes")
    a, b = adapter("a", loader="nf4"), adapter("b", loader="nf4")
    made = compose("stack", a, b)
    assert made.compared.reference.startswith("nothing")
    assert all(np.abs(by_us(one) - by_us("made")).max() > 0.01 for one in (a, b))


def test_members_of_other_labels_stand_under_a_named_head(
    adapter: Adapter, compose: Compose
) -> None:
    a, b = adapter("a"), adapter("b", labels=("yes", "no"))
    compose("stack", a, b, head="b@1")
    assert api.load("made").classes == ("yes", "no")
    assert np.abs(by_us("made") - by_us(b)).max() > 0.01


def test_each_member_of_a_stack_can_be_asked_alone(adapter: Adapter, compose: Compose) -> None:
    a, b = adapter("a"), adapter("b")
    compose("stack", a, b)
    for ref, name in ((a, "a"), (b, "b")):
        alone = api.load("made").member(name).predict_proba(list(TEXTS))
        assert np.array_equal(alone, by_us(ref))


def test_what_peft_stacks_otherwise_is_refused(adapter: Adapter, compose: Compose) -> None:
    rotation = {"name": "oft", "oft_block_size": 4}
    with pytest.raises(CapabilityError, match="a is oft, and PEFT stacks"):
        compose("stack", adapter("a", rotation), adapter("b", rotation))
    with pytest.raises(CapabilityError, match="d is a DoRA"):
        compose("stack", adapter("d", {"name": "lora", "use_dora": True}), adapter("e"))
