"""mergekit's YAML: what it becomes, and what is refused."""

from typing import Any

import pytest
import yaml

from adapterhub_lite.errors import RecipeError
from adapterhub_lite.merging.parameters import field_keys
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.recipes import MergeRecipe, validate
from adapterhub_lite.recipes.mergekit import from_mergekit, is_mergekit
from adapterhub_lite.recipes.mergekit_methods import METHODS


def read(text: str) -> dict[str, Any]:
    """Return the recipe that one document, or several, become; it is one that we read."""
    documents = list(yaml.safe_load_all(text))
    recipe = from_mergekit(documents[0] if len(documents) == 1 else documents)
    validate(MergeRecipe, recipe)
    return recipe


def refused(text: str) -> RecipeError:
    with pytest.raises(RecipeError) as error:
        read(text)
    return error.value


def strategy(parameters: str, method: str = "ties") -> dict[str, Any]:
    """Return the strategy's part, without its name."""
    start = f"merge_method: {method}, base_model: b, models: [{{model: a}}]"
    recipe = read(f"{{{start}, parameters: {parameters}}}")
    return {key: value for key, value in recipe["strategy"].items() if key != "name"}


def test_models_with_a_base() -> None:
    recipe = read("""
        merge_method: ties
        base_model: owner/base
        models:
          - model: owner/base
          - model: ./one
            parameters: {weight: 0.6, density: 0.5}
          - model: two
        parameters: {normalize: true, int8_mask: true, weight: 0.4}
        dtype: bfloat16
    """)
    assert recipe == {
        "base": "owner/base",
        "strategy": {"name": "ties", "normalize": True, "weight": 0.4},
        "models": [{"ref": "./one", "weight": 0.6, "density": 0.5}, {"ref": "two"}],
        "output": {"dtype": "bfloat16"},
    }


@pytest.mark.parametrize(
    ("written", "ref"),
    [
        ("owner/name", "owner/name"),
        ("owner/name@main", "owner/name@main"),
        ("./a+owner/lora", "./a+owner/lora"),
        ("a@1+b@2", "a@1+b@2"),
        ("{model: a, lora: b}", "a+b"),
        ("{model: {path: a, revision: r}}", "a@r"),
        ("{model: {path: a}, lora: {path: b, revision: r}, override_architecture: X}", "a+b@r"),
    ],
)
def test_references(written: str, ref: str) -> None:
    recipe = read(f"{{merge_method: task_arithmetic, base_model: c, models: [model: {written}]}}")
    assert recipe["models"] == [{"ref": ref}]
    based = read(f"{{merge_method: slerp, base_model: {written}, models: [{{model: x}}]}}")
    assert based["base"] == ref


def test_the_base_is_known_in_whatever_form_it_is_written() -> None:
    recipe = read(
        "{merge_method: ties, base_model: {model: {path: a, revision: r}},"
        " models: [{model: a@r}, {model: b}]}"
    )
    assert recipe["models"] == [{"ref": "b"}]


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("0.5", 0.5),
        ("1e-4", 1e-4),
        ("[0, 0.5, 1e-1]", [0, 0.5, 0.1]),
        ("{filter: mlp, value: 0.3}", {"contains:mlp": 0.3}),
        (
            "[{filter: self_attn, value: [0, 1]}, {filter: mlp, value: 1}, {value: 0.5}]",
            {"contains:self_attn": [0, 1], "contains:mlp": 1, "rest": 0.5},
        ),
        ("[{filter: '*', value: 1}, {filter: mlp, value: 2}]", {"rest": 1}),
        ("[{filter: mlp, value: 1}, {filter: mlp, value: 2}]", {"contains:mlp": 1}),
    ],
)
def test_values(written: str, read_as: Any) -> None:
    assert strategy(f"{{lambda: {written}}}") == {"lambda": read_as}


def test_a_parameter_of_another_method_has_no_effect_as_in_mergekit() -> None:
    assert strategy("{normalize: true, density: 0.5, t: 0.5}", "model_stock") == {}


def test_random_methods_restore_the_norm_that_mergekit_restores() -> None:
    for method in ("dare_linear", "dare_ties", "della", "della_linear"):
        assert strategy("{}", method) == {"rescale_norm": "l1"}
    assert read("{merge_method: ramplus_tl, base_model: b, models: [{model: a}]}")["strategy"] == {
        "name": "ramplus"
    }


def test_every_parameter_that_is_passed_exists() -> None:
    catalogue = get_catalogue(first_party_only=True)
    for method in METHODS.values():
        spec = catalogue.strategy(method.strategy)
        assert method.shared | method.added.keys() <= set(field_keys(spec.params))
        assert method.each <= set(field_keys(spec.model_params))
        assert (method.base_is == "model") == (spec.base == "unused")


def test_where_a_base_makes_no_difference_it_is_one_more_model() -> None:
    models = "models: [{model: a, parameters: {weight: 2}}]"
    recipe = read(f"{{merge_method: linear, base_model: b, {models}, parameters: {{weight: 1}}}}")
    assert "base" not in recipe
    assert recipe["models"] == [{"ref": "a", "weight": 2}, {"ref": "b"}]
    error = refused(f"{{merge_method: linear, base_model: b, {models}}}")
    assert error.field == "base_model"
    listed = "models: [{model: a, parameters: {weight: 2}}, {model: b, parameters: {weight: 3}}]"
    recipe = read(f"{{merge_method: linear, base_model: b, {listed}, tokenizer_source: base}}")
    assert recipe["models"] == [{"ref": "a", "weight": 2}, {"ref": "b", "weight": 3}]
    assert recipe["tokenizer"] == {"source": "b"}


def test_slices() -> None:
    recipe = read("""
        merge_method: slerp
        base_model: a
        slices:
          - sources:
              - {model: a, layer_range: [0, 4]}
              - {model: b, layer_range: [0, 4]}
            parameters: {t: 0.2}
          - sources:
              - {model: c, layer_range: [4, 8], parameters: {t: 1}}
              - {model: a, layer_range: [4, 8]}
            base_model: c
            residual_weight: 0.5
        parameters: {t: [0, 1]}
    """)
    assert recipe == {
        "base": "a",
        "strategy": {"name": "slerp", "t": [0, 1]},
        "slices": [
            {"models": [{"ref": "b", "layers": [0, 4]}], "params": {"t": 0.2}},
            {"models": [{"ref": "a", "layers": [4, 8]}], "base": "c"},
        ],
    }


def test_passthrough_keeps_every_source() -> None:
    recipe = read("""
        merge_method: passthrough
        base_model: a
        slices:
          - sources: [{model: a, layer_range: [0, 4], parameters: {scale: 0.5}}]
          - sources: [{model: b, layer_range: [2, 6]}]
    """)
    assert "base" not in recipe
    assert [piece["models"] for piece in recipe["slices"]] == [
        [{"ref": "a", "layers": [0, 4], "scale": 0.5}],
        [{"ref": "b", "layers": [2, 6]}],
    ]


def test_layers_of_the_base_that_are_not_those_of_the_model_are_refused() -> None:
    error = refused("""
        merge_method: ties
        base_model: a
        slices: [{sources: [{model: a, layer_range: [0, 4]}, {model: b, layer_range: [4, 8]}]}]
    """)
    assert error.field == "slices.0.sources"
    assert "[4, 8]" in str(error)


def test_modules() -> None:
    recipe = read("""
        merge_method: linear
        modules:
          text_decoder:
            models: [{model: a, parameters: {weight: 2}}]
            parameters: {normalize: false}
          vision_tower:
            slices: [{sources: [{model: b, layer_range: [0, 2]}]}]
        parameters: {normalize: true, weight: 1}
    """)
    assert recipe["modules"] == {
        "language_model": {
            "strategy": {"name": "linear", "normalize": False, "weight": 1},
            "models": [{"ref": "a", "weight": 2}],
        },
        "vision_tower": {
            "strategy": {"name": "linear", "normalize": True, "weight": 1},
            "slices": [{"models": [{"ref": "b", "layers": [0, 2]}]}],
        },
    }
    whole = read("{merge_method: linear, modules: {default: {models: [{model: a}]}}}")
    assert whole == {"strategy": {"name": "linear"}, "models": [{"ref": "a"}]}


def test_dtype_and_out_dtype() -> None:
    start = "merge_method: linear, models: [{model: a}]"
    assert read(f"{{{start}, dtype: float32}}")["output"] == {"dtype": "float32"}
    both = read(f"{{{start}, dtype: float32, out_dtype: torch.bfloat16}}")
    assert both["output"] == {"dtype": "bfloat16"}
    assert refused(f"{{{start}, dtype: float64}}").field == "dtype"
    assert "bfloat16" in refused(f"{{{start}, out_dtype: bfloat}}").hint


def test_tokenizer() -> None:
    start = "merge_method: ties, base_model: b, models: [{model: a}]"
    assert "tokenizer" not in read(f"{{{start}}}")
    assert read(f"{{{start}, tokenizer_source: union}}")["tokenizer"] == {"source": "union"}
    assert read(f"{{{start}, tokenizer_source: 'model:a'}}")["tokenizer"] == {"source": "a"}
    recipe = read(f"""
        {{{start}, chat_template: chatml, tokenizer: {{pad_to_multiple_of: 8, tokens: {{
            x: {{source: a}},
            y: {{source: {{kind: zero}}}},
            z: {{source: {{kind: model_token, model: a@r, token_id: 3}}, force: true}} }} }} }}
    """)
    assert recipe["chat_template"] == "chatml"
    assert recipe["tokenizer"] == {
        "source": "union",
        "pad_to_multiple_of": 8,
        "tokens": {
            "x": {"source": "a"},
            "y": {"source": "zero"},
            "z": {
                "source": {"kind": "model_token", "model": "a@r", "token_id": 3},
                "force": True,
            },
        },
    }


MULTI = """
name: first
merge_method: linear
models: [{model: a}, {model: b}]
parameters: {weight: 0.5}
---
name: second
merge_method: slerp
base_model: first
models: [{model: c}]
parameters: {t: 0.5}
---
"""


def test_several_documents_become_stages() -> None:
    last = "{merge_method: linear, models: [{model: second, parameters: {weight: 2}}]}"
    recipe = read(MULTI + last)
    assert recipe["models"] == [{"stage": "second", "weight": 2}]
    assert recipe["stages"] == {
        "first": {
            "strategy": {"name": "linear", "weight": 0.5},
            "models": [{"ref": "a"}, {"ref": "b"}],
        },
        "second": {
            "base": "first",
            "strategy": {"name": "slerp", "t": 0.5},
            "models": [{"ref": "c"}],
        },
    }


def test_the_result_is_the_merge_that_no_other_uses() -> None:
    named = read(MULTI + "{name: third, merge_method: linear, models: [{model: second}]}")
    assert named["models"] == [{"stage": "second"}]
    assert named["stages"].keys() == {"first", "second"}
    assert refused(MULTI + "{name: third, merge_method: linear, models: [{model: d}]}")
    assert refused(MULTI + "{name: first, merge_method: linear, models: [{model: second}]}")


def test_an_unknown_key_is_refused_with_what_was_meant() -> None:
    start = "merge_method: ties, base_model: b"
    for text, hint in {
        f"{{{start}, models: [{{model: a}}], dtyp: bfloat16}}": "dtype",
        f"{{{start}, models: [{{model: a, parameters: {{densty: 1}}}}]}}": "density",
        f"{{{start}, models: [{{model: a}}], parameters: {{wieght: 1}}}}": "weight",
        f"{{{start}, models: [{{model: a}}], parameters: {{lambda: {{fliter: x}}}}}}": "filter",
    }.items():
        error = refused(text)
        assert "unknown key" in str(error)
        assert hint in error.hint


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{base_model: b, models: [{model: a}]}", "merge_method"),
        ("{merge_method: ties}", ""),
        ("{merge_method: ties, models: [{model: a}], slices: [{sources: []}]}", "slices.0.sources"),
        ("{merge_method: ties, base_model: a, models: [{model: a}]}", "models"),
        ("{merge_method: ties, models: [{model: a@b@c}]}", "models.0.model.model"),
        ("{merge_method: ties, models: [{model: a+b+c}]}", "models.0.model"),
        ("{merge_method: ties, models: [a]}", "models.0"),
        ("{merge_method: ties, models: [{model: a}], parameters: {lambda: [1, {value: 2}]}}",
         "parameters.lambda"),
        ("{merge_method: ties, models: [{model: a}], parameters: {lambda: {filter: mlp}}}",
         "parameters.lambda"),
        ("{merge_method: ties, models: [{model: a}], tokenizer_source: base, tokenizer: {}}", ""),
    ],
)  # fmt: skip
def test_what_mergekit_refuses_is_refused(text: str, field: str) -> None:
    assert refused(text).field == field


def test_what_is_mergekits() -> None:
    assert is_mergekit({"merge_method": "ties"})
    assert is_mergekit({"base_model": "a", "merge_metod": "ties"})
    assert is_mergekit([{"merge_method": "ties"}, {"merge_method": "linear"}])
    assert not is_mergekit({"strategy": "ties", "base": "a", "models": ["b"]})
    assert not is_mergekit("merge_method")
