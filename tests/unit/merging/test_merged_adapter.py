"""An adapter out of whole models, and of models and adapters together, beside references."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import adapterhub_lite
from adapterhub_lite import api
from adapterhub_lite.errors import CapabilityError, MergeError, RecipeError, UserError
from adapterhub_lite.merging.adapters.plan import AdapterPlan
from adapterhub_lite.merging.plan import MergePlan
from adapterhub_lite.merging.results import MergeResult
from tests.unit.merging.lora_folders import (
    adapted,
    model_of,
    outputs,
    tiny_base,
    updates_of,
    write_adapter,
)
from tests.unit.merging.models import doubles
from tests.unit.merging.test_extraction import finetuned, of_rank

RANK = 5
ATTENTION = [f"encoder.layer.{n}.attention.self.{part}" for n in range(3) for part in
             ("key", "query", "value")]  # fmt: skip


def noise(scale: float, seed: int) -> Callable[[Any], None]:
    """Change every weight of a model, whatever it is."""

    def change(model: Any) -> None:
        generator = torch.Generator().manual_seed(seed)
        for value in model.parameters():
            value += scale * torch.randn(value.shape, generator=generator)

    return change


def linear_layers(scale: float, seed: int) -> Callable[[Any], None]:
    """Change the attention's linear layers alone, by matrices of full rank."""

    def change(model: Any) -> None:
        generator = torch.Generator().manual_seed(seed)
        for name in ATTENTION:
            weight = model.get_submodule(name).weight
            weight += scale * torch.randn(weight.shape, generator=generator)

    return change


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two whole models that differ from the base in linear layers, one in everything, adapters."""
    place = tmp_path_factory.mktemp("inputs")
    made = {
        "base": tiny_base(),
        "a": finetuned(place / "a", linear_layers(0.05, 1)),
        "b": finetuned(place / "b", linear_layers(0.05, 2)),
        "all": finetuned(place / "all", noise(0.02, 3)),
        "lora": write_adapter(place / "lora", tiny_base(), 4),
        "other": write_adapter(place / "other", tiny_base(), 5, r=2),
        "dora": write_adapter(place / "dora", tiny_base(), 6, use_dora=True),
    }
    return {name: str(folder) for name, folder in made.items()}


def recipe(inputs: dict[str, str], *models: str, **fields: Any) -> dict[str, Any]:
    given = {"strategy": {"name": "task_arithmetic", "weight": 0.5}, **fields}
    output = {"kind": "adapter", "rank": RANK} | fields.get("output", {})
    given["output"] = {key: value for key, value in output.items() if value is not None}
    return {"base": inputs["base"], "models": [inputs[name] for name in models], **given}


def whole_model(values: dict[str, Any], out: Path) -> dict[str, torch.Tensor]:
    """Merge into a model instead."""
    adapterhub_lite.merge({**values, "output": {"dtype": "float32"}}, out=out)
    return doubles(out)


def changes(merged: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return what differs from the base in linear layers by more than rounding, in float64."""
    base = doubles(tiny_base())
    return {
        name: merged[f"{name}.weight"] - base[f"{name}.weight"]
        for name, module in model_of(tiny_base()).named_modules()
        if isinstance(module, torch.nn.Linear)
        and not torch.allclose(merged[f"{name}.weight"], base[f"{name}.weight"], rtol=1e-5, atol=0)
    }


STRATEGIES: list[Any] = [
    {"name": "task_arithmetic", "weight": 0.5},
    {"name": "ties", "density": 0.4},
    {"name": "dare_ties", "density": 0.5},
    {"name": "ties", "density": 0.4, "scope": "model"},
    "linear",
    "karcher",
    "tsv",
]


@pytest.mark.parametrize(
    "strategy", STRATEGIES, ids=lambda s: s if isinstance(s, str) else s["name"]
)
def test_the_change_is_the_best_of_its_rank(
    inputs: dict[str, str], tmp_path: Path, strategy: Any
) -> None:
    values = recipe(inputs, "a", "lora", "b", strategy=strategy)
    result = adapterhub_lite.merge(values, out=tmp_path / "out")
    expected = changes(whole_model(values, tmp_path / "model"))
    found = updates_of(tmp_path / "out", tiny_base())
    assert found.keys() == expected.keys() == result.modules.keys() == set(ATTENTION)
    for name, change in expected.items():
        left, values_, right = torch.linalg.svd(change)
        best = left[:, :RANK] * values_[:RANK] @ right[:RANK]
        least = float(values_[RANK:].norm() / values_.norm())
        error = float((found[name] - change).norm() / change.norm())
        assert result.modules[name].factors.rank == RANK
        assert error == pytest.approx(least, rel=1e-3, abs=1e-5)
        assert result.modules[name].error == pytest.approx(error, rel=1e-4, abs=1e-5)
        assert float((found[name] - best).norm() / best.norm()) < 1e-3


def test_a_sum_of_task_vectors_by_hand(inputs: dict[str, str], tmp_path: Path) -> None:
    values = recipe(inputs, "a", "lora", output={"rank": 32})
    adapterhub_lite.merge(values, out=tmp_path / "out")
    base, a = doubles(tiny_base()), doubles(Path(inputs["a"]))
    lora = updates_of(Path(inputs["lora"]), tiny_base())
    for name, found in updates_of(tmp_path / "out", tiny_base()).items():
        change = 0.5 * (a[f"{name}.weight"] - base[f"{name}.weight"])
        if name in lora:
            change += 0.5 * lora[name]
        assert float((found - change).norm() / change.norm()) < 1e-5


@pytest.mark.parametrize("energy", [0.7, 0.95])
def test_the_least_rank_that_keeps_an_energy(
    inputs: dict[str, str], tmp_path: Path, energy: float
) -> None:
    values = recipe(inputs, "a", "b", output={"rank": None, "energy": energy})
    result = adapterhub_lite.merge(values, out=tmp_path / "out")
    for name, change in changes(whole_model(values, tmp_path / "model")).items():
        squares = torch.linalg.svdvals(change).square()
        least = int((squares.cumsum(0) < energy * squares.sum()).sum()) + 1
        assert result.modules[name].factors.rank == least
        assert result.modules[name].energy >= energy - 1e-6


def test_an_energy_of_adapters_alone_is_kept_too(inputs: dict[str, str], tmp_path: Path) -> None:
    values = recipe(inputs, "lora", "other", output={"rank": None, "energy": 0.9})
    for strategy in ("svd", "ties"):
        result = adapterhub_lite.merge({**values, "strategy": strategy}, out=tmp_path / strategy)
        assert isinstance(result.plan, AdapterPlan)
        assert all(part.energy >= 0.9 - 1e-6 for part in result.modules.values())
        assert any(part.error > 0.1 for part in result.modules.values())


def test_stages_are_merged_without_being_written(inputs: dict[str, str], tmp_path: Path) -> None:
    stage = {"base": inputs["base"], "strategy": "task_arithmetic", "models": [inputs["a"]]}
    values = {
        **recipe(inputs, output={"rank": 32}),
        "stages": {"first": {**stage, "models": [inputs["a"], inputs["lora"]]}},
        "models": [{"stage": "first", "weight": 0.25}, {"ref": inputs["b"], "weight": 1.0}],
    }
    adapterhub_lite.merge(values, out=tmp_path / "out")
    expected = changes(whole_model(values, tmp_path / "model"))
    for name, found in updates_of(tmp_path / "out", tiny_base()).items():
        assert torch.allclose(found, expected[name], atol=1e-5)


def test_threads_and_chunks_change_no_byte(inputs: dict[str, str], tmp_path: Path) -> None:
    values = recipe(inputs, "all", "lora", strategy="dare_ties", output={"rest": "save"})
    for threads in (1, 3):
        plan = api.plan_merge(values, threads=threads)
        api.run_merge(plan, out=tmp_path / str(threads))
    files = [tmp_path / name / "adapter_model.safetensors" for name in "13"]
    assert files[0].read_bytes() == files[1].read_bytes()


# --- what is no linear layer ---


def test_the_rest_is_refused_unless_stated(inputs: dict[str, str], tmp_path: Path) -> None:
    values = recipe(inputs, "all", "lora")
    with pytest.raises(CapabilityError, match=r"tensors differ .*LayerNorm") as caught:
        adapterhub_lite.merge(values, out=tmp_path / "out")
    assert "output.rest: save" in caught.value.hint
    assert "output.rest: omit" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_the_rest_saved_nothing_is_lost(inputs: dict[str, str], tmp_path: Path) -> None:
    values = recipe(inputs, "all", "lora", output={"rank": 32, "rest": "save"})
    result = adapterhub_lite.merge(values, out=tmp_path / "out")
    assert any(notice.startswith("saved whole") for notice in result.notices)
    whole_model(values, tmp_path / "model")
    answers = outputs(adapted(tmp_path / "out", tiny_base()))
    assert torch.allclose(answers, outputs(model_of(tmp_path / "model")), atol=1e-4)
    assert not torch.allclose(answers, outputs(model_of(tiny_base())), atol=1e-2)


def test_the_rest_left_out_is_told(inputs: dict[str, str], tmp_path: Path) -> None:
    values = recipe(inputs, "all", "lora", output={"rest": "omit"})
    result = adapterhub_lite.merge(values, out=tmp_path / "out")
    (notice,) = (n for n in result.notices if "left out" in n)
    state = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert all("lora_" in name for name in state)
    whole = doubles(Path(inputs["all"]))
    linear = [n for n, m in model_of(tiny_base()).named_modules() if isinstance(m, torch.nn.Linear)]
    assert notice.startswith(f"{len(whole) - len(linear)} tensors differ")
    assert notice in (tmp_path / "out" / "README.md").read_text().replace("\\", "")


def test_a_bias_that_changes_alone_is_kept(inputs: dict[str, str], tmp_path: Path) -> None:
    def change(model: Any) -> None:
        of_rank(2, "attention.self.query")(model)
        model.get_submodule(ATTENTION[2]).bias += 1.0  # a value: keys' biases cancel

    folder = finetuned(tmp_path / "model", change)
    values = {**recipe(inputs, output={"rest": "save"}), "models": [str(folder)]}
    values["strategy"] = "task_arithmetic"
    adapterhub_lite.merge(values, out=tmp_path / "out")
    answers = outputs(adapted(tmp_path / "out", tiny_base()))
    assert torch.allclose(answers, outputs(model_of(folder)), atol=2e-3)


def test_an_adapter_that_has_no_factors_is_merged_as_it_is(
    inputs: dict[str, str], tmp_path: Path
) -> None:
    values = recipe(inputs, "dora", "lora", output={"rank": 32})
    adapterhub_lite.merge(values, out=tmp_path / "out")
    whole_model(values, tmp_path / "model")
    answers = outputs(adapted(tmp_path / "out", tiny_base()))
    assert torch.allclose(answers, outputs(model_of(tmp_path / "model")), atol=1e-4)


# --- heads ---


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A whole classifier, and an adapter that is one: pooler and classifier are their own."""
    place = tmp_path_factory.mktemp("classifiers")

    def change(model: Any) -> None:
        linear_layers(0.05, 1)(model.bert)
        noise(0.1, 2)(model.bert.pooler)

    modules = {"modules_to_save": ["classifier"]}
    made = {
        "base": tiny_base(),
        "whole": finetuned(place / "whole", change, labels=3),
        "lora": write_adapter(place / "lora", tiny_base(), 4, labels=3, **modules),
    }
    return {name: str(folder) for name, folder in made.items()}


@pytest.mark.parametrize("kept", ["whole", "lora"])
def test_a_head_that_is_kept_is_exact(
    classifiers: dict[str, str], tmp_path: Path, kept: str
) -> None:
    heads = f"keep {classifiers[kept]}"
    values = recipe(classifiers, "whole", "lora", heads=heads, output={"rank": 32})
    adapterhub_lite.merge(values, out=tmp_path / "out")
    merged = whole_model(values, tmp_path / "model")
    state = load_file(tmp_path / "out" / "adapter_model.safetensors")
    weight = state["base_model.model.classifier.weight"]
    assert weight.double().equal(merged["classifier.weight"])
    pooler = [name for name in state if "pooler" in name]
    assert len(pooler) == (2 if kept == "whole" else 0)
    assert not any("lora_" in name for name in pooler)
    loaded = adapted(tmp_path / "out", tiny_base(), labels=3)
    from transformers import AutoModelForSequenceClassification

    auto = AutoModelForSequenceClassification
    own = auto.from_pretrained(tmp_path / "model", num_labels=3).eval()
    assert torch.allclose(outputs(loaded), outputs(own), atol=1e-4)


def test_without_a_head_it_is_loaded_onto_the_bare_base(
    classifiers: dict[str, str], tmp_path: Path
) -> None:
    values = recipe(classifiers, "whole", "lora", heads="omit", output={"rank": 32, "rest": "omit"})
    adapterhub_lite.merge(values, out=tmp_path / "out")
    whole_model(values, tmp_path / "model")
    bare, expected = adapted(tmp_path / "out", tiny_base()), model_of(tmp_path / "model")
    tokens = torch.arange(24).view(3, 8)
    with torch.no_grad():
        found, wanted = (model(input_ids=tokens).last_hidden_state for model in (bare, expected))
    assert torch.allclose(found, wanted, atol=1e-4)


def test_heads_that_differ_are_refused_unless_stated(
    classifiers: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(MergeError, match="heads"):
        adapterhub_lite.merge(recipe(classifiers, "whole", "lora"), out=tmp_path / "out")


# --- the plan ---


def test_adapters_alone_stay_factors(inputs: dict[str, str]) -> None:
    plan = api.plan_merge(recipe(inputs, "lora", "other", output={"rank": None}))
    assert isinstance(plan, AdapterPlan)
    dense = api.plan_merge(recipe(inputs, "lora", "other", strategy="linear"))
    assert isinstance(dense, MergePlan)
    assert dense.lora is not None
    assert any("linear merges whole weights" in notice for notice in dense.notices)


def test_a_whole_model_among_adapters_is_told(inputs: dict[str, str]) -> None:
    plan = api.plan_merge(recipe(inputs, "lora", "a"))
    assert isinstance(plan, MergePlan)
    assert any(f"{inputs['a']} is a whole model" in notice for notice in plan.notices)


REFUSED: list[Any] = [
    ("no rank", {"output": {"rank": None}}, RecipeError, "no rank"),
    ("an exact rank", {"output": {"rank": "exact"}}, RecipeError, "full one"),
    ("both", {"output": {"energy": 0.9}}, RecipeError, "either `rank` or `energy`"),
    ("no energy", {"output": {"rank": None, "energy": 0}}, RecipeError, "energy"),
    ("no such rest", {"output": {"rest": "keep"}}, RecipeError, "rest"),
    ("a strategy of factors", {"strategy": "svd"}, CapabilityError, "is a whole model"),
    ("a strategy that is not there", {"strategy": "tise"}, UserError, "ties"),
    ("no base", {"base": None}, RecipeError, "that of the recipe is none"),
]


@pytest.mark.parametrize(("fields", "error", "told"), [r[1:] for r in REFUSED],
                         ids=[r[0] for r in REFUSED])  # fmt: skip
def test_what_is_refused_at_planning(
    inputs: dict[str, str], fields: dict[str, Any], error: type[UserError], told: str
) -> None:
    strategy = {"strategy": "linear"} if "base" in fields else {}
    with pytest.raises(error) as caught:
        api.plan_merge(recipe(inputs, "a", "b", **strategy, **fields))
    assert told in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("key", ["rank", "energy", "rest"])
def test_a_models_output_has_no_rank(inputs: dict[str, str], key: str) -> None:
    output = {"rank": 4, "energy": 0.5, "rest": "save"}
    values = {**recipe(inputs, "a"), "output": {key: output[key]}}
    with pytest.raises(RecipeError, match="kind: adapter"):
        api.plan_merge(values)


def test_an_adapter_is_no_base_of_an_adapter(inputs: dict[str, str]) -> None:
    with pytest.raises(CapabilityError, match="is an adapter itself"):
        api.plan_merge({**recipe(inputs, "a", "b"), "base": inputs["lora"]})


def test_a_stage_is_no_base_of_an_adapter(inputs: dict[str, str]) -> None:
    stage = {"strategy": "linear", "models": [inputs["a"], inputs["b"]]}
    values = {**recipe(inputs, "a"), "base": "mean", "stages": {"mean": stage}}
    with pytest.raises(RecipeError, match="stage"):
        api.plan_merge(values)


@pytest.mark.parametrize("layers", [[[0, 2]], [[0, 3], [2, 3]]])
def test_layers_that_come_or_go_are_no_change_of_the_base(
    inputs: dict[str, str], layers: list[list[int]]
) -> None:
    slices = [{"models": [{"ref": inputs["a"], "layers": part}]} for part in layers]
    values = recipe(inputs, strategy="passthrough", slices=slices)
    del values["models"]
    with pytest.raises(CapabilityError, match=r"lacks 'encoder\.layer"):
        api.plan_merge(values)


# --- what is written ---


def test_config_card_and_recipe(inputs: dict[str, str], tmp_path: Path) -> None:
    values = recipe(inputs, "a", "lora")
    result = adapterhub_lite.merge(values, out=tmp_path / "out")
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "README.md"} <= written
    assert {"recipe.yml", "tokenizer.json"} <= written
    assert not {"config.json", "model.safetensors", "adapterhub.json"} & written
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == inputs["base"]
    assert config["task_type"] == "FEATURE_EXTRACTION"
    card = (tmp_path / "out" / "README.md").read_text()
    worst = max(part.error for part in result.modules.values())
    assert f"{worst:.1e} at most" in card
    assert "base_model:" not in card, "a base that is no model of the hub is none to its readers"
    assert "library_name: peft" in card
    assert "A LoRA adapter" in card


def test_factors_in_sixteen_bits(inputs: dict[str, str], tmp_path: Path) -> None:
    values = recipe(inputs, "a", "lora", output={"dtype": "bfloat16"})
    adapterhub_lite.merge(values, out=tmp_path / "out")
    state = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert {value.dtype for value in state.values()} == {torch.bfloat16}


def test_a_number_that_is_not_finite_leaves_nothing(inputs: dict[str, str], tmp_path: Path) -> None:
    broken = finetuned(tmp_path / "broken", linear_layers(0.05, 1))
    state = load_file(broken / "model.safetensors")
    state[f"{ATTENTION[-1]}.weight"][0, 0] = float("nan")
    save_file(state, broken / "model.safetensors", metadata={"format": "pt"})
    values = recipe({**inputs, "broken": str(broken)}, "broken", "lora")
    with pytest.raises(MergeError, match=ATTENTION[-1]):
        adapterhub_lite.merge(values, out=tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_what_tells_no_task_is_not_published(inputs: dict[str, str], home: Path) -> None:
    values = {**recipe(inputs, "a", "b"), "publish": "pair"}
    with pytest.raises(UserError, match="tells a task"):
        adapterhub_lite.merge(values)
    assert not api.open_registry(home).names()


def test_progress_is_told_in_bytes(inputs: dict[str, str], tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    plan = api.plan_merge(recipe(inputs, "a", "b"))
    result: MergeResult = api.run_merge(
        plan, out=tmp_path / "out", progress=lambda done, total: told.append((done, total))
    )
    assert result.folder is not None
    linear = [m for m in model_of(tiny_base()).modules() if isinstance(m, torch.nn.Linear)]
    total = 4 * sum(module.weight.numel() for module in linear)
    assert told[-1] == (total, total)
    assert told == sorted(told)
