"""What does not fit together is refused before a weight is loaded, with a reason and a way out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite import api
from adapterhub_lite.errors import (
    BaseModelError,
    CapabilityError,
    InvalidNameError,
    NotFoundError,
    RecipeError,
    UnknownNameError,
)
from tests.unit.composition.conftest import Adapter
from tests.unit.composition.models import folder_of

Bases = Callable[..., Path]


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that plans a composition, and fails should it load a base."""
    import adapterhub_lite_loaders.floating as floating

    def run(how: Any, *members: Any, **recipe: Any) -> Any:
        def refuse(*_: Any, **__: Any) -> Any:
            raise AssertionError("a base was loaded")

        with monkeypatch.context() as patch:
            patch.setattr(floating, "load_transformer", refuse)
            return api.plan_compose({"composition": how, "members": list(members), **recipe})

    return run


def test_adapters_of_another_base(adapter: Adapter, bases: Bases, plan: Any) -> None:
    a, other = adapter("a"), adapter("other", base=bases(seed=1))
    for how in ("average", "stack", "switch"):
        with pytest.raises(BaseModelError, match=r"a@1 .*other@1 .*whose weights differ"):
            plan(how, a, other)


def test_a_base_that_has_changed_since(
    adapter: Adapter, bases: Bases, plan: Any, tmp_path: Path
) -> None:
    from adapterhub_lite.testing import write_tiny_model

    base = write_tiny_model(tmp_path / "base", num_hidden_layers=2)
    refs = adapter("a", base=base), adapter("b", base=base)
    plan("stack", *refs)
    write_tiny_model(base, seed=3, num_hidden_layers=2)
    with pytest.raises(BaseModelError, match="another base"):
        plan("stack", *refs)


def test_other_labels_without_a_named_head(adapter: Adapter, plan: Any) -> None:
    a, b = adapter("a"), adapter("b", labels=("yes", "no"))
    for how in ("average", "stack"):
        with pytest.raises(CapabilityError, match="fruit, tool, music and yes, no") as refused:
            plan(how, a, b)
        assert "head: a" in refused.value.hint
        assert plan(how, a, b, head="b").members.head == "b"


def test_the_same_labels_in_another_order(adapter: Adapter, plan: Any) -> None:
    a, b = adapter("a"), adapter("b", labels=("tool", "fruit", "music"))
    with pytest.raises(CapabilityError, match="different labels"):
        plan("average", a, b)


def test_a_method_without_the_capability(adapter: Adapter, plan: Any) -> None:
    a, b = adapter("a"), adapter("b", {"name": "prefix", "num_virtual_tokens": 2})
    for how in ("average", "stack"):
        with pytest.raises(
            CapabilityError, match="'prefix' does not declare 'several-active'"
        ) as r:
            plan(how, a, b)
        assert "bottleneck" in r.value.hint
        assert "lora" in r.value.hint


def test_two_methods_in_one_model(adapter: Adapter, plan: Any) -> None:
    with pytest.raises(CapabilityError, match="different methods: lora and bottleneck") as refused:
        plan("stack", adapter("a"), adapter("b", "bottleneck"))
    assert "switch" in refused.value.hint


def test_two_loaders_in_one_model(adapter: Adapter, plan: Any) -> None:
    a, b = adapter("a"), adapter("b", loader="bf16")
    with pytest.raises(CapabilityError, match="a@1 is loaded by fp32, that of b@1 by bf16"):
        plan("average", a, b)


def test_a_whole_model(adapter: Adapter, plan: Any, tmp_path: Path, bases: Bases) -> None:
    a = adapter("a")
    whole = adapter("whole", "full")
    info = tmp_path / "adapters" / "whole" / "adapterhub.json"
    assert info.is_file()
    text = info.read_text(encoding="utf-8")
    start = text.index('"base"')
    end = text.index('"composition"')
    info.write_text(text[:start] + '"base": null,\n  ' + text[end:], encoding="utf-8")
    with pytest.raises(CapabilityError, match="is a whole model") as refused:
        plan("switch", a, str(info.parent))
    assert "extract-lora" in refused.value.hint
    assert whole == "whole@1"


def test_what_takes_one_model_refuses_a_composition(adapter: Adapter, compose: Any) -> None:
    from adapterhub_lite.deployment.baking import bake
    from adapterhub_lite.plugins import get_catalogue

    a, b = adapter("a"), adapter("b")
    compose("stack", a, b)
    with pytest.raises(CapabilityError, match=r"composition \(stack\)") as refused:
        bake("made", "baked", api.open_registry(), get_catalogue())
    assert "a@1, b@1" in refused.value.hint
    with pytest.raises(CapabilityError, match=r"composition \(stack\)"):
        api.plan_merge({"models": ["made", a], "strategy": "linear"})


def test_names_that_are_misspelt(adapter: Adapter, plan: Any) -> None:
    a, b = adapter("tickets"), adapter("mails")
    with pytest.raises(UnknownNameError) as composition:
        plan("avrage", a, b)
    assert composition.value.nearest == "average"
    with pytest.raises(RecipeError) as head:
        plan("switch", a, b, head="mail")
    assert head.value.hint.startswith("did you mean 'mails'? they are: tickets, mails")
    with pytest.raises(RecipeError) as parameter:
        plan({"name": "average", "normalize": False}, a, b)
    assert "normalise" in parameter.value.hint
    with pytest.raises(RecipeError) as weight:
        plan("average", {"ref": a, "wieght": 1.0}, b)
    assert "weight" in weight.value.hint
    with pytest.raises(RecipeError) as key:
        plan("average", a, b, heads="mails")
    assert "head" in key.value.hint
    with pytest.raises(NotFoundError):
        plan("average", a, "mials")
    with pytest.raises(InvalidNameError):
        plan("average", a, b, publish="Not A Name")


NONSENSE: list[tuple[dict[str, Any], str]] = [
    ({"members": ["a"]}, "takes at least 2 members, and 1 is named"),
    ({"members": []}, "members"),
    ({"members": ["a@1", "a@1"]}, "two members are called 'a-1'"),
    ({"members": ["a", {"ref": "b", "name": "../x"}]}, "members.1.name"),
    ({"members": ["a", "b"], "composition": "switch", "publish": 3}, "publish"),
    ({"members": [{"ref": "a", "weight": "much"}, "b"]}, "weight"),
    ({"members": [{"ref": "a", "weight": float("nan")}, "b"]}, "weight"),
    ({"members": "a"}, "members"),
]


def test_recipes_that_make_no_sense(adapter: Adapter) -> None:
    adapter("a")
    adapter("b")
    for recipe, reason in NONSENSE:
        with pytest.raises(RecipeError) as refused:
            api.plan_compose({"composition": "average", **recipe})
        assert reason in refused.value.message


def test_a_result_with_no_place_to_go(adapter: Adapter, compose: Any) -> None:
    from adapterhub_lite.errors import UserError

    with pytest.raises(UserError, match="no place to go"):
        compose("stack", adapter("a"), adapter("b"), publish=None)


def test_a_composition_whose_files_name_a_place_elsewhere(
    adapter: Adapter, compose: Any, tmp_path: Path
) -> None:
    from adapterhub_lite.errors import IntegrityError

    compose("switch", adapter("a"), adapter("b"))
    copy = api.open_registry().checkout(api.open_registry().resolve("made"), tmp_path / "copy")
    file = copy / "adapterhub.json"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"name": "a"', '"name": "../../a"'), encoding="utf-8")
    with pytest.raises(IntegrityError, match="does not parse"):
        api.load(str(copy))
    assert folder_of("a").is_dir()


def test_heads_that_an_objective_keeps_itself_have_no_average(
    adapter: Adapter, plan: Any, tmp_path: Path
) -> None:
    folders = []
    for name in ("a", "b"):
        adapter(name)
        folders.append(tmp_path / "adapters" / name)
        (folders[-1] / "head.json").write_text(f'{{"of": "{name}"}}', encoding="utf-8")
    refs = [str(folder) for folder in folders]
    with pytest.raises(CapabilityError, match=r"heads of their own \(head.json\)") as refused:
        plan("average", *refs)
    assert "head: a" in refused.value.hint
    assert plan("average", *refs, head="b").members.head == "b"
    assert plan("stack", *refs).members.head == "b"


SPLITS: list[tuple[dict[str, Any], list[dict[str, Any]], str]] = [
    ({}, [{}, {}], "a does not say how many tokens it takes"),
    ({}, [{"tokens": 2}, {"tokens": 2}], "b is the last, which takes the rest of a text"),
    ({}, [{"tokens": 80}, {}], "reads 80 tokens, of which the first members take 80"),
    ({"by": "segment"}, [{"tokens": 2}, {}], "a is given a number of tokens"),
    ({"by": "segment"}, [{}, {}, {}], "a pair has two texts, and there are 3 members"),
    ({"by": "segment"}, [{}, {}], "their tokenizer puts nothing between two texts"),
]


def test_a_split_whose_tokens_are_nobodys_or_everybodys(adapter: Adapter, plan: Any) -> None:
    refs = [adapter(name) for name in "abc"]
    for params, members, reason in SPLITS:
        asked = [{"ref": ref, **one} for ref, one in zip(refs, members, strict=False)]
        with pytest.raises(CapabilityError, match=reason):
            plan({"name": "split", **params}, *asked)


def test_a_split_of_adapters_that_share_out_no_tokens(
    adapter: Adapter, bases: Bases, plan: Any
) -> None:
    def split(name: str, **given: Any) -> Any:
        refs = [adapter(f"{name}-{number}", **given) for number in range(2)]
        return {"ref": refs[0], "tokens": 2}, {"ref": refs[1]}

    dora = {"name": "lora", "use_dora": True}
    with pytest.raises(CapabilityError, match="d-0 is a LoRA with use_dora"):
        plan("split", *split("d", method=dora))
    with pytest.raises(CapabilityError, match="'loha' does not declare 'per-token'") as refused:
        plan("split", *split("h", method="loha"))
    assert "bottleneck" in refused.value.hint
    with pytest.raises(CapabilityError, match="an encoder-decoder reads two sequences"):
        plan("split", *split("e", base=bases("bart")))
    first, last = split("w", base=bases("llama"), objective="causal-lm")
    with pytest.raises(CapabilityError, match="causal-lm does not read two texts at once"):
        plan({"name": "split", "by": "segment"}, first["ref"], last["ref"])


def test_a_layer_behind_the_transformer_is_told_by_its_name(
    adapter: Adapter, bases: Bases, compose: Any
) -> None:
    given = {"name": "lora", "target_modules": ["lm_head", "q_proj"]}
    a, b = (adapter(n, given, base=bases("llama"), objective="causal-lm") for n in "ab")
    with pytest.raises(CapabilityError, match=r"lm_head is given .* the transformer reads no"):
        compose("split", {"ref": a, "tokens": 2}, b)
