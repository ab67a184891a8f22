"""A plan refuses what does not fit, says why and what would, and loads nothing."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from adapterhub_lite.errors import (
    AdapterHubError,
    BaseModelError,
    CapabilityError,
    DataError,
    InvalidNameError,
    RecipeError,
    UnknownNameError,
)
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.training.plan import Plan, make_plan

TASK = "text-classification"


@pytest.fixture(autouse=True)
def nothing_is_loaded(lab: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check after each test that planning has loaded no base, by a loader or without one."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("planning has loaded a model")

    monkeypatch.setattr("transformers.AutoModel.from_pretrained", refuse)
    yield
    assert lab.loaded == []


@pytest.fixture(scope="module")
def tiny_gpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("base") / "tiny-gpt", "gpt2")


def plan(lab: Any, **changes: Any) -> Plan:
    return make_plan(lab.recipe(**changes), lab.catalogue, lab.registry)


def refused(lab: Any, error: type[AdapterHubError], **changes: Any) -> AdapterHubError:
    with pytest.raises(error) as caught:
        plan(lab, **changes)
    assert "\n" not in caught.value.message
    return caught.value


def suggested(error: AdapterHubError) -> list[str]:
    """Return the methods that a hint names; there are few of them, and where to see more."""
    assert len(error.hint) < 160
    names, _, _ = error.hint.removeprefix("methods that can: ").partition(", …")
    return names.split(", ")


def test_all_that_can_be_known_before_loading(lab: Any) -> None:
    made = plan(lab)
    assert (made.loader.spec.name, made.method.spec.name) == ("plain", "none")
    assert made.loader.offer.source.distribution == "acme-lab"
    assert made.base.source == "path"
    assert made.architecture.model_type == "bert"
    assert len(made.data.train) == 18
    assert made.data.test_from == "file"


def test_memory_is_told_from_the_specs(lab: Any) -> None:
    parameters = plan(lab).architecture.parameters
    full = plan(lab)
    assert full.trainable == 1000
    assert full.memory.weights == 4 * parameters
    assert full.memory.gradients == 4 * 1000
    assert full.memory.optimiser == 8 * 1000
    assert full.memory.activations is None, "the objective does not say how long rows may be"
    assert full.memory.total == 4 * parameters + 12_000
    small = plan(lab, loader="half-byte", method="none-q")
    assert small.memory.weights == parameters // 2


def test_the_resolved_recipe_spells_everything_out_and_plans_the_same(lab: Any) -> None:
    made = plan(lab)
    resolved = made.resolved_recipe()
    assert resolved["objective"] == {"name": "majority", "smoothing": 1.0}
    assert resolved["seeds"] == 1
    assert resolved["data"]["near_duplicate"] == 0.9
    again = make_plan(json.loads(json.dumps(resolved)), lab.catalogue, lab.registry)
    assert again.resolved_recipe() == resolved


def test_each_seed_draws_its_own_shots(lab: Any) -> None:
    made = plan(lab, data={"train": str(lab.rows), "shots": 2})
    first, second = made.training_rows(0), made.training_rows(1)
    assert len(first) == len(second) == 6
    assert first == made.training_rows(0)
    assert first != second
    assert plan(lab).training_rows(0) == plan(lab).training_rows(1)


def test_a_method_that_cannot_train_on_a_quantised_base(lab: Any) -> None:
    error = refused(lab, CapabilityError, loader="half-byte")
    assert "'none' cannot train on a base that the loader 'half-byte' has quantised" in str(error)
    names = suggested(error)
    assert names[0] == "lora"
    assert all("quantised-base" in lab.catalogue.method(name).capabilities for name in names)


def test_an_objective_for_another_family(lab: Any, tiny_gpt: Path) -> None:
    error = refused(lab, CapabilityError, base=str(tiny_gpt), objective="encoders")
    assert "'encoders' needs an encoder" in error.message
    assert "(gpt2) is a decoder" in error.message
    takes = error.hint.removeprefix("with this base: ").split(", ")
    assert "majority" in takes
    assert not {"encoders", "contrastive"} & set(takes)
    for name in takes:
        if name != "refuses":
            assert plan(lab, base=str(tiny_gpt), objective=name).objective.spec.task == TASK
    assert plan(lab, base=str(tiny_gpt)).architecture.family == "decoder"


def test_a_sentence_transformer_of_any_family_is_an_encoder(
    lab: Any, tiny_gpt: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sentence-gpt"
    shutil.copytree(tiny_gpt, folder)
    (folder / "modules.json").write_text("[]")
    assert plan(lab, base=str(folder), objective="encoders").architecture.sentence_transformer


def test_a_method_for_another_family(lab: Any) -> None:
    error = refused(lab, CapabilityError, method="decoders")
    assert error.message == (
        "the method 'decoders' cannot be attached to an encoder: it is for a decoder"
    )
    names = suggested(error)
    assert names[:4] == ["lora", "bottleneck", "full", "prefix"]
    assert all("encoder" in lab.catalogue.method(name).families for name in names)


def test_a_method_that_no_objective_can_train_is_never_suggested(lab: Any) -> None:
    for method in ("poly", "cpt", "xlora", "multitask-prompt"):
        assert not lab.catalogue.method(method).heads
        error = refused(lab, CapabilityError, method=method)
        assert method not in suggested(error)


def test_a_bare_decoder_has_no_head_to_write_with(lab: Any, tmp_path: Path) -> None:
    whole = write_tiny_model(tmp_path / "whole", "llama")
    tied = write_tiny_model(tmp_path / "tied", "llama", tie_word_embeddings=True)
    bare = shutil.copytree(whole, tmp_path / "bare")
    weights = load_file(whole / "model.safetensors")
    inner = {
        name.removeprefix("model."): value
        for name, value in weights.items()
        if "lm_head" not in name
    }
    save_file(inner, bare / "model.safetensors", metadata={"format": "pt"})
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"text": "the {word} is ripe"}}\n' for word in ("pear", "plum")))
    writing = {"objective": "causal-lm", "method": "lora", "data": {"train": str(rows)}}
    for base in (whole, tied):
        assert plan(lab, base=str(base), **writing).trainable > 0
    error = refused(lab, CapabilityError, base=str(bare), **writing)
    assert "hold the bare transformer only" in error.message
    assert "AutoModelForCausalLM" in error.hint
    assert plan(lab, base=str(bare), method="lora").trainable > 0


def test_a_method_that_leaves_nothing_to_learn(lab: Any, tiny_gpt: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"text": "the {word} is ripe"}}\n' for word in ("pear", "plum")))
    probe = {"name": "full", "layers": 0}
    writing = {"base": str(tiny_gpt), "objective": "causal-lm", "data": {"train": str(rows)}}
    error = refused(lab, CapabilityError, method=probe, **writing)
    assert error.message.startswith("nothing would learn")
    assert "full" not in suggested(error)
    assert plan(lab, method=probe, objective="contrastive").trainable == 0


def test_a_method_that_finds_something_against_the_base(lab: Any) -> None:
    error = refused(lab, CapabilityError, method="choosy")
    assert error.message == "the method 'choosy' does not fit: it dislikes bert"


def test_the_first_party_method_knows_how_many_layers_there_are(lab: Any) -> None:
    error = refused(lab, CapabilityError, method={"name": "full", "layers": 9})
    assert "9 layers, and the base has 3" in error.message
    assert plan(lab, method={"name": "full", "layers": 3}).trainable > 0


def test_several_labels_and_an_objective_for_one(lab: Any, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    texts = ("a ripe plum", "the heavy drill", "my loud violin", "that sweet apple")
    rows.write_text("\n".join(json.dumps({"text": t, "label": ["a", t[-1]]}) for t in texts))
    error = refused(lab, CapabilityError, data={"train": str(rows), "multi_label": True})
    assert error.message == "the objective 'majority' trains on one label a row"
    assert "contrastive" in error.hint


def test_an_objective_that_finds_something_against_the_rows(lab: Any) -> None:
    error = refused(lab, DataError, objective="refuses")
    assert error.message == f"{lab.rows}: 18 rows are not enough"


@pytest.mark.parametrize(
    ("changes", "error", "shown"),
    [
        ({"method": "nonne"}, UnknownNameError, "unknown method 'nonne'"),
        ({"objective": "majorty"}, UnknownNameError, "unknown objective 'majorty'"),
        ({"loader": "plan"}, UnknownNameError, "unknown loader 'plan'"),
        ({"preset": "setfitt"}, UnknownNameError, "unknown preset 'setfitt'"),
        ({"objective": None}, RecipeError, "'objective' is missing"),
        ({"objective": {"name": "majority", "smothing": 2}}, RecipeError, "objective.smothing"),
        ({"objective": {"name": "majority", "smoothing": "x"}}, RecipeError, "smoothing"),
        ({"bas": "x"}, RecipeError, "unknown key 'bas'"),
        ({"base": "no-such-base"}, BaseModelError, "no base model 'no-such-base'"),
        ({"publish": "No Name"}, InvalidNameError, "'No Name' is not allowed"),
        ({"alias": "No Alias"}, InvalidNameError, "'No Alias' is not allowed"),
        ({"data": {"train": "no-such.csv"}}, DataError, "no-such.csv"),
    ],
)
def test_what_is_wrong_is_named(
    lab: Any, changes: dict[str, Any], error: type[AdapterHubError], shown: str
) -> None:
    assert shown in refused(lab, error, **changes).message


def test_an_alias_that_reads_as_a_number_is_refused_before_training(lab: Any) -> None:
    refused(lab, InvalidNameError, alias="7")


def test_a_preset_is_filled_in_below_what_is_given(lab: Any) -> None:
    values = {"base": str(lab.base), "preset": "setfit", "data": {"train": str(lab.rows)}}
    made = make_plan({**values, "objective": "majority"}, lab.catalogue, lab.registry)
    assert made.objective.spec.name == "majority"
    assert made.method.as_recipe() == {"name": "full", "layers": 1, "parameters": []}
    assert made.loader.spec.name == "fp32"
    made = make_plan({**values, "method": {"layers": 2}}, lab.catalogue, lab.registry)
    assert made.method.as_recipe() == {"name": "full", "layers": 2, "parameters": []}


def test_planning_leaves_no_trace(lab: Any) -> None:
    before = sorted(lab.registry.home.rglob("*"))
    plan(lab)
    assert sorted(lab.registry.home.rglob("*")) == before
