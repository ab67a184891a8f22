"""An average is one adapter that adds exactly the weighted sum of what its members add."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModel

from adapterhub_lite import api
from adapterhub_lite.errors import CapabilityError, SelfTestError
from adapterhub_lite.tuners.wrapping import quiet_peft
from tests.unit.composition.conftest import LABELS, TEXTS, Adapter
from tests.unit.composition.models import (
    add_loras,
    bare,
    files_of,
    folder_of,
    hook_bottlenecks,
    probabilities,
    put_head,
)

Compose = Callable[..., Any]
Bases = Callable[..., Path]


def weighted(ref: str, weight: float) -> dict[str, Any]:
    return {"ref": ref, "weight": weight}


def by_hand(base: Path, parts: dict[str, float], heads: dict[str, float] | None = None) -> Any:
    """Return the probabilities of Σ wᵢΔWᵢ on the base, in 64 bits."""
    answering = heads or parts
    whole = [(weight, files_of(ref)[1]) for ref, weight in answering.items()]
    model = bare(base, len(whole[0][1]["classifier.weight"]))
    put_head(model, whole)
    add_loras(model, parts)
    return probabilities(model, base)


def by_us(ref: str) -> Any:
    return api.load(ref).predict_proba(list(TEXTS))


@pytest.mark.parametrize(
    ("given", "factors"),
    [((3.0, 1.0), (0.75, 0.25)), ((1.5, -0.5), (1.5, -0.5))],
)
def test_loras_are_averaged_exactly(
    adapter: Adapter,
    bases: Bases,
    compose: Compose,
    given: tuple[float, float],
    factors: tuple[float, float],
) -> None:
    a = adapter("a", {"name": "lora", "r": 4, "lora_alpha": 6})
    b = adapter("b", {"name": "lora", "r": 2, "lora_alpha": 5, "target_modules": ["value"]})
    made = compose("average", weighted(a, given[0]), weighted(b, given[1]))
    expected = by_hand(bases(), {a: factors[0], b: factors[1]})
    np.testing.assert_allclose(by_us("made"), expected, atol=1e-6)
    assert np.abs(expected - by_hand(bases(), {a: 1.0})).max() > 0.01
    assert made.compared.difference < 1e-6


def test_weights_are_taken_as_they_are_when_asked_for(
    adapter: Adapter, bases: Bases, compose: Compose
) -> None:
    a, b = adapter("a"), adapter("b")
    compose({"name": "average", "normalise": False}, weighted(a, 1.0), weighted(b, 0.5))
    heads = {a: 2 / 3, b: 1 / 3}  # a head is a layer, no change of one: its weights add up to 1
    np.testing.assert_allclose(by_us("made"), by_hand(bases(), {a: 1.0, b: 0.5}, heads), atol=1e-6)


def test_a_named_head_is_taken_whole(adapter: Adapter, bases: Bases, compose: Compose) -> None:
    a, b = adapter("a"), adapter("b", labels=("yes", "no"))
    compose("average", a, b, head=b)
    expected = by_hand(bases(), {a: 0.5, b: 0.5}, {b: 1.0})
    np.testing.assert_allclose(by_us("made"), expected, atol=1e-6)
    assert api.load("made").classes == ("yes", "no")


def test_the_update_is_that_of_pefts_own_cat(
    adapter: Adapter, bases: Bases, compose: Compose
) -> None:
    one, two = adapter("one", {"name": "lora", "r": 4}), adapter("two", {"name": "lora", "r": 2})
    compose("average", weighted(one, 0.7), weighted(two, 0.3))
    model = None
    for ref in (one, two):
        config, state = files_of(ref)
        lora = LoraConfig(
            r=config["r"],
            lora_alpha=config["lora_alpha"],
            target_modules=config["target_modules"],
        )
        if model is None:
            with quiet_peft():
                model = get_peft_model(AutoModel.from_pretrained(bases()), lora, ref)
        else:
            model.add_adapter(ref, lora)
        own = {n.removeprefix("bert."): v for n, v in state.items() if ".lora_" in n}
        full = {f"base_model.model.{name}": value for name, value in own.items()}
        set_peft_model_state_dict(model, full, adapter_name=ref)
    assert model is not None
    model.add_weighted_adapter(["one@1", "two@1"], [0.7, 0.3], "cat", combination_type="cat")
    _, made = files_of("made")
    compared = 0
    for name, module in model.named_modules():
        if hasattr(module, "get_delta_weight"):
            place = f"bert.{name.removeprefix('base_model.model.')}"
            up, down = made[f"{place}.lora_B.weight"], made[f"{place}.lora_A.weight"]
            torch.testing.assert_close(up @ down, module.get_delta_weight("cat"))
            compared += 1
    assert compared == 4


def test_the_order_of_the_members_changes_no_bit(adapter: Adapter, compose: Compose) -> None:
    refs = [adapter("a"), adapter("b", {"name": "lora", "r": 2}), adapter("c")]
    parts = [weighted(ref, weight) for ref, weight in zip(refs, (0.2, 0.5, 0.3), strict=True)]
    compose("average", *parts)
    first = load_file(folder_of("made") / "adapter_model.safetensors")
    compose("average", *parts[1:], parts[0])
    second = load_file(folder_of("made@2") / "adapter_model.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_average_of_one_adapter_with_itself_is_it(adapter: Adapter, compose: Compose) -> None:
    a = adapter("a")
    compose("average", a, {"ref": a, "name": "again"})
    np.testing.assert_allclose(by_us("made"), by_us(a), atol=1e-6)


def test_bottlenecks_are_averaged_exactly(adapter: Adapter, bases: Bases, compose: Compose) -> None:
    a = adapter("a", {"name": "bottleneck", "bottleneck_size": 3})
    b = adapter("b", {"name": "bottleneck", "bottleneck_size": 5, "scaling": 1.5})
    compose("average", weighted(a, 0.3), weighted(b, 0.7))
    model = bare(bases(), len(LABELS))
    put_head(model, [(0.3, files_of(a)[1]), (0.7, files_of(b)[1])])
    hook_bottlenecks(model, {a: 0.3, b: 0.7}, stacked=False)
    expected = probabilities(model, bases())
    np.testing.assert_allclose(by_us("made"), expected, atol=1e-6)
    assert np.abs(expected - by_us(a)).max() > 0.01


def test_an_average_is_an_adapter_like_any_other(
    adapter: Adapter, compose: Compose, tmp_path: Path
) -> None:
    a, b = adapter("a"), adapter("b")
    compose("average", a, b)
    recipe = {"models": ["made", a], "strategy": "linear-exact", "heads": "average"}
    api.merge({**recipe, "output": {"kind": "adapter"}}, out=tmp_path / "merged")
    assert (tmp_path / "merged" / "adapter_model.safetensors").is_file()
    compose("stack", "made", a)
    assert api.load("made@2").members == ("made", "a")


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (({"name": "lora", "use_dora": True}, "lora"), "a is a DoRA"),
        (("ia3", "ia3"), "a is no LoRA"),
        (
            ("bottleneck", {"name": "bottleneck", "non_linearity": "gelu"}),
            "differ in non_linearity",
        ),
    ],
)
def test_what_has_no_exact_average_is_refused(
    adapter: Adapter, compose: Compose, members: Any, reason: str
) -> None:
    refs = [adapter(name, method) for name, method in zip("ab", members, strict=True)]
    with pytest.raises(CapabilityError, match=reason) as refused:
        compose("average", *refs)
    assert "switch" in refused.value.hint


def test_weights_that_cancel_are_refused(adapter: Adapter, compose: Compose) -> None:
    a, b = adapter("a"), adapter("b")
    with pytest.raises(CapabilityError, match="add up to 0"):
        compose("average", weighted(a, 1.0), weighted(b, -1.0))


def test_a_wrong_average_is_not_published(
    adapter: Adapter, compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = adapter("a"), adapter("b")
    right = "adapterhub_lite_peft.together.concatenate"

    def wrong(factors: Any, weights: Any) -> Any:
        from adapterhub_lite.merging.adapters.lowrank import concatenate

        return concatenate(factors, [1.01 * weight for weight in weights])

    monkeypatch.setattr(right, wrong)
    with pytest.raises(SelfTestError, match="differ from the members merged"):
        compose("average", a, b)
    assert "made" not in api.open_registry().names()
