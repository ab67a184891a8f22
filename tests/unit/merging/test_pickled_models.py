"""Merges of pickled models, and of adapters on another base: only when they are insisted on."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from adapterhub_lite import api
from adapterhub_lite.errors import BaseModelError, CapabilityError
from adapterhub_lite.testing import write_tiny_model
from tests.unit.merging.lora_folders import tiny_base, write_adapter

LINEAR: dict[str, Any] = {"strategy": "linear", "models": ["./a", "./b"]}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def models(kind: str) -> None:
    for seed, name in enumerate("ab"):
        write_tiny_model(Path(name), kind, seed=seed, num_hidden_layers=1)


def pickle_it(folder: Path, *, shards: int = 1) -> dict[str, torch.Tensor]:
    """Save a model's weights as transformers used to: pickled, tied tensors under both names."""
    state: dict[str, torch.Tensor] = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    if "transformer.wte.weight" in state:
        state["lm_head.weight"] = state["transformer.wte.weight"]
    if shards == 1:
        torch.save(state, folder / "pytorch_model.bin")
        return state
    places = {}
    for number in range(shards):
        file = f"pytorch_model-{number + 1:05}-of-{shards:05}.bin"
        part = dict(list(state.items())[number::shards])
        torch.save(part, folder / file)
        places |= dict.fromkeys(part, file)
    index = json.dumps({"metadata": {"total_size": 1}, "weight_map": places})
    (folder / "pytorch_model.bin.index.json").write_text(index)
    return state


def merged(recipe: dict[str, Any], out: str, **options: Any) -> dict[str, torch.Tensor]:
    api.merge(recipe, out=out, threads=1, **options)
    return dict(load_file(Path(out) / "model.safetensors"))


@pytest.mark.parametrize(("kind", "shards"), [("bert", 1), ("gpt2", 1), ("gpt2", 3)])
def test_a_pickled_model_is_merged_as_its_safetensors_are(kind: str, shards: int) -> None:
    models(kind)
    expected = merged(LINEAR, "expected")
    pickle_it(Path("a"), shards=shards)
    found = merged(LINEAR, "found", convert_pickle=True)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    more = found.keys() - expected.keys()
    assert all(torch.equal(found[name], found["transformer.wte.weight"]) for name in more)


def test_it_is_refused_unless_asked_for() -> None:
    models("bert")
    pickle_it(Path("a"))
    with pytest.raises(CapabilityError, match=r"pytorch_model\.bin of \./a is a pickle") as caught:
        api.plan_merge(LINEAR)
    assert "--convert-pickle" in caught.value.hint
    plan = api.plan_merge(LINEAR, convert_pickle=True)
    assert any("./a is pickled" in notice for notice in plan.notices)


def test_it_is_converted_once_and_again_when_it_changes(home: Path) -> None:
    models("bert")
    state = pickle_it(Path("a"))
    first = api.plan_merge(LINEAR, convert_pickle=True).opened["./a"].folder
    assert api.plan_merge(LINEAR, convert_pickle=True).opened["./a"].folder == first
    torch.save({name: 2 * value for name, value in state.items()}, "a/pytorch_model.bin")
    second = api.plan_merge(LINEAR, convert_pickle=True).opened["./a"].folder
    assert second != first
    name = next(iter(state))
    assert torch.equal(load_file(second / "model.safetensors")[name], 2 * state[name])


def test_a_pickle_that_runs_code_is_refused_and_runs_none(here: Path) -> None:
    class Touch:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {here / 'canary'}",)

    models("bert")
    state: dict[str, Any] = pickle_it(Path("a"))
    torch.save({**state, "more": Touch()}, "a/pytorch_model.bin")
    with pytest.raises(BaseModelError, match=r"of \./a is refused: it names posix\.system"):
        api.merge(LINEAR, out="out", convert_pickle=True)
    assert not (here / "canary").exists()
    assert not (here / "out").exists()


def test_an_index_that_names_a_missing_file_is_refused() -> None:
    models("bert")
    pickle_it(Path("a"), shards=2)
    Path("a/pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(BaseModelError, match=r"has no pytorch_model-00002-of-00002\.bin"):
        api.plan_merge(LINEAR, convert_pickle=True)


def test_an_adapter_and_its_base_may_be_pickled() -> None:
    shutil.copytree(tiny_base(), "base")
    recipe = {"strategy": "task_arithmetic", "models": ["./one"], "base": "./base"}
    write_adapter(Path("one"), tiny_base(), seed=1)
    expected = merged(recipe, "expected")
    pickle_it(Path("base"))
    torch.save(load_file("one/adapter_model.safetensors"), "one/adapter_model.bin")
    Path("one/adapter_model.safetensors").unlink()
    found = merged(recipe, "found", convert_pickle=True, any_base=True)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_an_adapter_goes_on_another_base_when_it_is_insisted_on() -> None:
    write_adapter(Path("one"), tiny_base(), seed=1)
    write_tiny_model(Path("other"), "bert", seed=9)
    recipe = {"strategy": "task_arithmetic", "models": ["./one"], "base": "./other"}
    with pytest.raises(BaseModelError, match=r"another base than '\./other'") as caught:
        api.plan_merge(recipe)
    assert "--any-base" in caught.value.hint
    query = "encoder.layer.0.attention.self.query.weight"
    own = load_file(tiny_base() / "model.safetensors")[query]
    other = load_file("other/model.safetensors")[query]
    on_own = merged({**recipe, "base": str(tiny_base())}, "own")[query]
    on_other = merged(recipe, "on-other", any_base=True)[query]
    torch.testing.assert_close(on_other - other, on_own - own, atol=1e-6, rtol=1e-5)


def test_a_base_that_is_a_copy_is_the_same_base() -> None:
    write_adapter(Path("one"), tiny_base(), seed=1)
    shutil.copytree(tiny_base(), "copy")
    api.plan_merge({"strategy": "task_arithmetic", "models": ["./one"], "base": "./copy"})
