"""Recipes: which tensors are merged, with which parameters, and what is refused."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import adapterhub_lite
from adapterhub_lite.errors import CapabilityError, MergeError, RecipeError, UserError
from tests.unit.merging.models import State, doubles, read_state, write_model

Merge = Callable[[Mapping[str, Any]], State]
LAYERS = 4


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    """Four models of one architecture."""
    return [
        str(write_model(tmp_path / f"m{seed}", seed, num_hidden_layers=LAYERS)) for seed in range(4)
    ]


@pytest.fixture
def merge(tmp_path: Path) -> Merge:
    """Merge a recipe, and return what was written."""
    made: list[Path] = []

    def run(recipe: Mapping[str, Any]) -> State:
        made.append(tmp_path / f"out{len(made)}")
        adapterhub_lite.merge(recipe, out=made[-1], threads=2)
        return read_state(made[-1])

    return run


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.allclose(found.double(), expected, rtol=0, atol=1e-6)


def layer_of(name: str) -> int | None:
    parts = name.split(".")
    return int(parts[2]) if parts[1] == "layers" else None


def test_weights_of_each_model(models: list[str], merge: Merge) -> None:
    a, b = (doubles(Path(ref)) for ref in models[:2])
    found = merge(
        {"strategy": "linear", "models": [{"ref": models[0], "weight": 3}, {"ref": models[1]}]}
    )
    assert found.keys() == a.keys()
    assert all(close(found[name], (3 * a[name] + b[name]) / 4) for name in a)


def test_a_gradient_and_parts_by_name(models: list[str], merge: Merge) -> None:
    base, other = (doubles(Path(ref)) for ref in models[:2])
    weight = {"*.mlp.*": 0, "layers": [0, 1], "embeddings": 0.2, "head": 0.7, "norm": 0.4}
    found = merge(
        {
            "base": models[0],
            "strategy": "task_arithmetic",
            "models": [{"ref": models[1], "weight": weight}],
        }
    )
    for name in base:
        layer = layer_of(name)
        if layer is not None:
            share = 0 if ".mlp." in name else layer / (LAYERS - 1)
        else:
            share = {"model.embed_tokens.weight": 0.2, "model.norm.weight": 0.4}.get(name, 0.7)
        assert close(found[name], base[name] + share * (other[name] - base[name])), name


def test_a_models_own_parameter_wins_over_the_strategys(models: list[str], merge: Merge) -> None:
    base, one, two = (doubles(Path(ref)) for ref in models[:3])
    found = merge(
        {
            "base": models[0],
            "strategy": {"name": "task_arithmetic", "weight": 0.25, "lambda": 2},
            "models": [{"ref": models[1], "weight": {"head": 1.5}}, models[2]],
        }
    )
    for name in base:
        own = 1.5 if name == "lm_head.weight" else 0.25
        expected = base[name] + 2 * own * (one[name] - base[name])
        assert close(found[name], expected + 0.5 * (two[name] - base[name]))


def test_layers_are_stacked_from_slices(models: list[str], merge: Merge, tmp_path: Path) -> None:
    a, b, c = (doubles(Path(ref)) for ref in models[:3])
    found = merge(
        {
            "strategy": "linear",
            "slices": [
                {"models": [{"ref": models[0], "layers": [0, 3]}]},
                {
                    "models": [
                        {"ref": models[1], "layers": [1, 3]},
                        {"ref": models[2], "layers": [2, 4]},
                    ],
                    "params": {"weight": [1, 0]},
                    "strategy": {"name": "linear", "normalize": False},
                },
            ],
        }
    )
    part = "self_attn.q_proj.weight"
    for layer in range(3):
        assert close(found[f"model.layers.{layer}.{part}"], a[f"model.layers.{layer}.{part}"])
    first = b[f"model.layers.1.{part}"] + c[f"model.layers.2.{part}"]
    assert close(found[f"model.layers.3.{part}"], first)
    assert not found[f"model.layers.4.{part}"].any()
    assert close(found["model.embed_tokens.weight"], a["model.embed_tokens.weight"])
    assert not found["lm_head.weight"].any()
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out0")
    assert loaded.config.num_hidden_layers == 5
    assert loaded(input_ids=torch.tensor([[1, 2, 3]])).logits.isfinite().all()


def test_a_stage_is_as_if_it_had_been_written(models: list[str], merge: Merge) -> None:
    inner = {"base": models[0], "strategy": {"name": "task_arithmetic", "weight": 0.3}}
    inner |= {"models": models[1:3]}
    outer = {"strategy": "linear", "models": [{"stage": "inner", "weight": 2}, models[3]]}
    found = merge({**outer, "stages": {"inner": inner}})
    base, one, two, three = (doubles(Path(ref)) for ref in models)
    for name in base:
        stage = base[name] + 0.3 * (one[name] + two[name] - 2 * base[name])
        assert close(found[name], (2 * stage + three[name]) / 3)


def test_a_stage_can_be_the_base(models: list[str], merge: Merge) -> None:
    found = merge(
        {
            "stages": {"mean": {"strategy": "linear", "models": models[:2]}},
            "base": "mean",
            "strategy": {"name": "task_arithmetic", "weight": 0.5},
            "models": [models[2]],
        }
    )
    a, b, c = (doubles(Path(ref)) for ref in models[:3])
    for name in a:
        mean = (a[name] + b[name]) / 2
        assert close(found[name], mean + 0.5 * (c[name] - mean))


def test_several_documents_are_mergekits_merges_of_merges(
    models: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "multi.yml"
    file.write_text(
        f"name: first\nmerge_method: linear\nmodels:\n- model: {models[0]}\n- model: {models[1]}\n"
        f"---\nmerge_method: linear\nmodels:\n- model: first\n- model: {models[2]}\n"
        "parameters: {weight: 1.0}\n"
    )
    adapterhub_lite.merge(file, out=tmp_path / "out")
    a, b, c = (doubles(Path(ref)) for ref in models[:3])
    for name, value in read_state(tmp_path / "out").items():
        assert close(value, ((a[name] + b[name]) / 2 + c[name]) / 2)


def test_an_adapter_on_a_model_as_mergekit_writes_it(
    models: list[str], merge: Merge, tmp_path: Path
) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model

    from adapterhub_lite.tuners.wrapping import quiet_peft

    torch.manual_seed(0)
    with quiet_peft():
        config = LoraConfig(target_modules=["q_proj"], init_lora_weights=False)
        adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(models[0]), config)
        adapted.save_pretrained(tmp_path / "adapter")
    other = AutoModelForCausalLM.from_pretrained(models[1])
    with quiet_peft():
        whole = PeftModel.from_pretrained(other, tmp_path / "adapter").merge_and_unload()
    found = merge({"strategy": "passthrough", "models": [f"{models[1]}+{tmp_path / 'adapter'}"]})
    expected = whole.state_dict()
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in found)


def test_task_vectors_are_scaled_by_depth(models: list[str], merge: Merge) -> None:
    base, other = (doubles(Path(ref)) for ref in models[:2])
    found = merge(
        {
            "base": models[0],
            "strategy": "task_arithmetic",
            "models": [models[1]],
            "layer_scaling": {"alpha": 0.2, "beta": 0.6},
        }
    )
    for name in base:
        layer = layer_of(name)
        depth = layer / (LAYERS - 1) if layer is not None else float("embed" not in name)
        expected = base[name] + (0.2 + 0.6 * depth) * (other[name] - base[name])
        assert close(found[name], expected)


def test_modules_have_strategies_of_their_own(tmp_path: Path, merge: Merge) -> None:
    refs = [str(write_model(tmp_path / f"t{seed}", seed, "t5")) for seed in range(2)]
    a, b = (doubles(Path(ref)) for ref in refs)
    found = merge(
        {
            "base": refs[0],
            "models": [refs[1]],
            "strategy": "task_arithmetic",
            "modules": {"encoder": {"strategy": {"name": "task_arithmetic", "weight": 0.5}}},
        }
    )
    for name in a:
        share = 0.5 if name.startswith("encoder.") else 0.0
        assert close(found[name], a[name] + share * (b[name] - a[name])), name


Change = Callable[[list[str]], dict[str, Any]]


@pytest.mark.parametrize(
    ("recipe", "error", "reason"),
    [
        (lambda m: {"strategy": "linera", "models": m}, UserError, "unknown strategy 'linera'"),
        (lambda m: {"models": m}, RecipeError, "'strategy' is missing"),
        (lambda m: {"strategy": "linear"}, RecipeError, "'models' is missing"),
        (
            lambda m: {"strategy": {"name": "linear", "nomalize": True}, "models": m},
            RecipeError,
            "unknown key 'strategy.nomalize'",
        ),
        (
            lambda m: {"strategy": "linear", "models": [{"ref": m[0], "weigth": 1}, m[1]]},
            RecipeError,
            "unknown key 'models.0.weigth'",
        ),
        (
            lambda m: {"strategy": "linear", "models": [{"ref": m[0], "weight": "much"}, m[1]]},
            RecipeError,
            "'models.0.weight'",
        ),
        (
            lambda m: {
                "strategy": "linear",
                "models": [{"ref": m[0], "weight": 1}, {"ref": m[1], "weight": -1}],
            },
            CapabilityError,
            "weights sum to 0",
        ),
        (
            lambda m: {"strategy": "task_arithmetic", "models": m},
            CapabilityError,
            "none is given",
        ),
        (
            lambda m: {"strategy": "linear", "models": [{"ref": m[0], "weight": {"mpl": 1}}]},
            RecipeError,
            "no tensor matches 'mpl'",
        ),
        (
            lambda m: {
                "strategy": "linear",
                "models": [{"stage": "a"}],
                "stages": {
                    "a": {"strategy": "linear", "models": [{"stage": "b"}]},
                    "b": {"strategy": "linear", "models": [{"stage": "a"}]},
                },
            },
            RecipeError,
            "in a circle: a → b → a",
        ),
        (
            lambda m: {"strategy": "linear", "models": [{"stage": "a"}]},
            RecipeError,
            "no stage 'a'",
        ),
        (
            lambda m: {"strategy": "linear", "slices": [{"models": [m[0]]}]},
            RecipeError,
            "needs `layers`",
        ),
        (
            lambda m: {
                "strategy": "linear",
                "slices": [
                    {
                        "models": [
                            {"ref": m[0], "layers": [0, 2]},
                            {"ref": m[1], "layers": [0, 1]},
                        ]
                    }
                ],
            },
            RecipeError,
            "not equally many",
        ),
        (
            lambda m: {
                "strategy": "linear",
                "slices": [{"models": [{"ref": m[0], "layers": [3, 6]}]}],
            },
            MergeError,
            "has no layer 4",
        ),
        (
            lambda m: {"strategy": "linear", "models": m, "layer_scaling": {"alpha": 0.5}},
            RecipeError,
            "layer_scaling needs a base",
        ),
        (
            lambda m: {"strategy": "linear", "models": m, "output": {"shard_size": "5 parsecs"}},
            RecipeError,
            "a size like 5GB",
        ),
        (
            lambda m: {"strategy": "linear", "models": m, "dtyp": "float32"},
            RecipeError,
            "unknown key 'dtyp'",
        ),
    ],
)
def test_what_cannot_be_merged_is_refused_before_anything_is_written(
    models: list[str],
    tmp_path: Path,
    recipe: Change,
    error: type[Exception],
    reason: str,
) -> None:
    with pytest.raises(error, match=reason):
        adapterhub_lite.merge(recipe(models[:2]), out=tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))
