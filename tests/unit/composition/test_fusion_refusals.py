"""What cannot be fused is refused in the plan, before a weight is loaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from adapterhub_lite import api
from adapterhub_lite.errors import BaseModelError, CapabilityError, NotFoundError, RecipeError
from adapterhub_lite.training.resume import resumed_folder, write_identity
from tests.unit.composition.conftest import LABELS, TEXTS, Adapter
from tests.unit.composition.models import folder_of


@pytest.fixture
def plan(
    bases: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Return a function that plans a fusion, and fails should it load a base."""
    import adapterhub_lite_loaders.floating as floating

    rows = tmp_path / "rows.csv"
    lines = (f"{text} {n},{LABELS[n % 3]}\n" for n, text in enumerate(TEXTS * 3))
    rows.write_text("text,label\n" + "".join(lines))

    def run(*adapters: Any, **method: Any) -> Any:
        def refuse(*_: Any, **__: Any) -> Any:
            raise AssertionError("a base was loaded")

        recipe = {
            "base": str(bases()),
            "method": {"name": "fusion", "adapters": list(adapters), **method},
            "objective": "classification",
            "data": {"train": str(rows)},
        }
        with monkeypatch.context() as patch:
            patch.setattr(floating, "load_transformer", refuse)
            return api.plan(recipe)

    return run


def test_what_fits_is_planned(adapter: Adapter, plan: Any) -> None:
    """A query with its bias, keys and values, in two layers; the pooler and a head of three."""
    refs = [adapter(name, "bottleneck") for name in "ab"]
    assert plan(*refs).trainable == 2 * (3 * 32 * 32 + 32) + (32 + 1) * 32 + (32 + 1) * 3
    assert (
        plan(*(str(folder_of(ref)) for ref in refs)).method.params.named_adapters()[0].digest == ""
    )


def test_an_alias_is_pinned(adapter: Adapter, plan: Any) -> None:
    refs = [adapter(name) for name in "ab"]
    api.open_registry().set_alias("a", "prod", 1)
    assert plan("a@prod", "b").resolved_recipe()["method"]["adapters"] == refs


def test_a_run_is_not_resumed_upon_other_adapters(
    adapter: Adapter, plan: Any, tmp_path: Path
) -> None:
    """A folder is called as before, whatever lies in it now."""
    folders = [tmp_path / "adapters" / adapter(name).partition("@")[0] for name in "ab"]
    write_identity(tmp_path, plan(*map(str, folders)))
    assert resumed_folder(tmp_path, plan(*map(str, folders))) == tmp_path
    for file in ("adapter_model.safetensors", "adapter_config.json"):
        (folders[0] / file).write_bytes((folders[1] / file).read_bytes())
    with pytest.raises(RecipeError, match=r"adapters\..* differs"):
        resumed_folder(tmp_path, plan(*map(str, folders)))


@pytest.mark.parametrize(
    ("adapters", "message"),
    [
        (["only@1"], "at least 2"),
        ([], "at least 2"),
        ([1, 2], "should be a registry reference, or the folder of an adapter"),
        ([""], "should be a registry reference"),
    ],
)
def test_what_is_no_list_of_adapters(plan: Any, adapters: list[Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        plan(*adapters)


def test_a_misspelt_reference(adapter: Adapter, plan: Any) -> None:
    with pytest.raises(NotFoundError) as refused:
        plan(adapter("topics"), "topcis@1")
    assert "topics" in refused.value.hint


def test_adapters_of_another_base(adapter: Adapter, bases: Callable[..., Path], plan: Any) -> None:
    other = adapter("b", base=bases(seed=1))
    with pytest.raises(BaseModelError, match=r"b@1 was trained on .*bert-1.*whose weights differ"):
        plan(adapter("a"), other)


def test_adapters_of_different_methods(adapter: Adapter, plan: Any) -> None:
    with pytest.raises(CapabilityError, match=r"a@1 is of the method lora and b@1 of bottleneck"):
        plan(adapter("a"), adapter("b", "bottleneck"))


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            {"name": "lora", "use_dora": True},
            "b@1 is a LoRA with use_dora: an attention weighs plain",
        ),
        ({"name": "lora", "target_modules": ["word_embeddings", "query"]}, "adapts an embedding"),
        ("ia3", "'ia3', which does not declare 'fusible'"),
    ],
)
def test_adapters_that_cannot_be_weighed(
    adapter: Adapter, plan: Any, method: Any, message: str
) -> None:
    with pytest.raises(CapabilityError, match=message):
        plan(adapter("a"), adapter("b", method))


def test_methods_whose_adapters_it_takes_are_named(adapter: Adapter, plan: Any) -> None:
    with pytest.raises(CapabilityError) as refused:
        plan(adapter("a", "ia3"), adapter("b", "ia3"))
    assert refused.value.hint == "methods whose adapters it takes: bottleneck, lora"


def test_an_adapter_named_twice(adapter: Adapter, plan: Any) -> None:
    with pytest.raises(CapabilityError, match="an adapter is named twice"):
        plan(adapter("a"), "a")


def test_an_adapter_that_trained_more_than_its_head(
    adapter: Adapter, plan: Any, tmp_path: Path
) -> None:
    """Its updates were learnt upon embeddings that only it has."""
    adapter("a")
    folder = tmp_path / "adapters" / "a"
    config = json.loads((folder / "adapter_config.json").read_text())
    config["modules_to_save"] = ["classifier", "bert.pooler", "LayerNorm"]
    (folder / "adapter_config.json").write_text(json.dumps(config))
    own = load_file(folder / "adapter_model.safetensors")
    some = own[next(name for name in own if "classifier" in name)].clone()
    norm = "base_model.model.bert.embeddings.LayerNorm.weight"
    save_file({**own, norm: some}, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CapabilityError, match=r"has trained bert\.embeddings\.LayerNorm whole"):
        plan(str(folder), adapter("b"))


def test_whole_models_and_compositions(
    adapter: Adapter, plan: Any, compose: Any, tmp_path: Path
) -> None:
    refs = adapter("a"), adapter("b")
    compose("switch", *refs)
    with pytest.raises(CapabilityError, match=r"this is a composition \(switch\)"):
        plan(refs[0], "made")
    folder = tmp_path / "adapters" / "a"
    info = json.loads((folder / "adapterhub.json").read_text())
    (folder / "adapterhub.json").write_text(json.dumps({**info, "method": "full", "base": None}))
    with pytest.raises(CapabilityError, match="is a whole model, and fusion is trained upon adap"):
        plan(refs[0], str(folder))


def test_a_fusion_is_no_member_of_another(adapter: Adapter, plan: Any, tmp_path: Path) -> None:
    ref = adapter("a")
    folder = tmp_path / "adapters" / "a"
    info = json.loads((folder / "adapterhub.json").read_text())
    (folder / "adapterhub.json").write_text(json.dumps({**info, "method": "fusion"}))
    with pytest.raises(CapabilityError, match="'fusion', which does not declare 'fusible'"):
        plan(ref, str(folder))
