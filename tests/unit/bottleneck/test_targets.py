"""Where adapters stand: from the table, from names and shapes, or not at all."""

from typing import Any, get_args

import pytest
import torch
from peft import get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModel

from adapterhub_lite.errors import CapabilityError, RecipeError
from adapterhub_lite_bottleneck.config import BottleneckConfig
from adapterhub_lite_bottleneck.styles import (
    Style,
    bottleneck_width,
    count_adapter_parameters,
)
from adapterhub_lite_bottleneck.targets import (
    ARCHITECTURES,
    find_output_projections,
    first_projection,
    linear_shapes,
    matching_modules,
    output_projections,
    target_pattern,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "pad_token_id": 0,
}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4}
T5 = {"d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 2, "num_heads": 4}
BART = {
    "d_model": 32,
    **{f"{side}_layers": 2 for side in ("encoder", "decoder")},
    **{f"{side}_attention_heads": 4 for side in ("encoder", "decoder")},
    **{f"{side}_ffn_dim": 64 for side in ("encoder", "decoder")},
}
OWN_SIZES: dict[str, dict[str, Any]] = {
    "distilbert": {"hidden_dim": 64},
    "gpt2": GPT2,
    "openai-gpt": GPT2,
    "bart": BART,
    "mbart": BART,
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "t5": T5,
    "mt5": T5,
    "umt5": T5,
}


def meta_model(model_type: str) -> Any:
    config = AutoConfig.for_model(model_type, **{**SIZES, **OWN_SIZES.get(model_type, {})})
    with torch.device("meta"):
        return AutoModel.from_config(config)


def expected_counts(model_type: str) -> tuple[int, int]:
    """Return how many attention and feed-forward sub-layers the tiny models have."""
    if model_type == "albert":
        return 1, 1  # both layers are the same one
    if model_type in ("bart", "mbart", "t5", "mt5", "umt5"):
        return 6, 4
    return 2, 2


# gemma3 is a text tower beside a vision tower, too much for a tiny config
@pytest.mark.parametrize("model_type", sorted(set(ARCHITECTURES) - {"gemma3"}))
def test_the_table_fits_the_architecture(model_type: str) -> None:
    shapes = linear_shapes(meta_model(model_type))
    projections = ARCHITECTURES[model_type]
    attention, feed_forward = expected_counts(model_type)
    both = matching_modules(target_pattern(projections, "houlsby"), shapes)
    ends = matching_modules(target_pattern(projections, "pfeiffer"), shapes)
    assert (len(both), len(ends)) == (attention + feed_forward, feed_forward)
    assert {shapes[name][0] for name in both} == {32}
    assert {shapes[name][1] for name in ends} != {32}
    for name in ends:
        assert shapes[first_projection(name, shapes)][1] == 32


@pytest.mark.parametrize("model_type", sorted(set(ARCHITECTURES) - {"gemma3", "albert"}))
def test_names_and_shapes_tell_the_same_as_the_table(model_type: str) -> None:
    shapes = linear_shapes(meta_model(model_type))
    if model_type in ("t5", "mt5", "umt5"):
        with pytest.raises(CapabilityError, match="cannot be told apart"):
            find_output_projections(shapes, 32)  # its sub-layers are numbered differently
        return
    found = find_output_projections(shapes, 32)
    for style in get_args(Style):
        assert matching_modules(target_pattern(found, style), shapes) == matching_modules(
            target_pattern(ARCHITECTURES[model_type], style), shapes
        )


def test_what_cannot_be_told_apart_is_refused() -> None:
    experts = {f"layers.0.mlp.experts.{number}.down_proj": (32, 64) for number in range(2)}
    with pytest.raises(CapabilityError, match=r"experts\.0\.down_proj") as raised:
        output_projections("mixture", experts, 32)
    assert "target_modules" in raised.value.hint
    with pytest.raises(CapabilityError, match="candidates: none"):
        output_projections("bag-of-words", {"layers.0.word": (32, 32)}, 32)
    alone = find_output_projections({"layers.0.ffn.down": (32, 64)}, 32)
    assert matching_modules(target_pattern(alone, "pfeiffer"), ["x.layers.7.ffn.down"])
    with pytest.raises(CapabilityError, match="attention"):
        target_pattern(alone, "houlsby")


def test_layers_are_chosen_by_their_numbers(adapted: Any) -> None:
    model = adapted(style="houlsby", layers_to_transform=[0, 2])
    names = model.base_model.targeted_module_names
    assert names == [
        "encoder.layer.0.attention.output.dense",
        "encoder.layer.0.output.dense",
        "encoder.layer.2.attention.output.dense",
        "encoder.layer.2.output.dense",
    ]
    assert adapted(layers_to_transform=1).base_model.targeted_module_names == [
        "encoder.layer.1.output.dense"
    ]


def test_targets_can_be_named(adapted: Any) -> None:
    model = adapted(target_modules=["intermediate.dense"], layers_to_transform=[1])
    assert model.base_model.targeted_module_names == ["encoder.layer.1.intermediate.dense"]
    layer = model.get_base_model().encoder.layer[1].intermediate.dense
    assert layer.projections("default")[0].weight.shape == (4, 64)


def test_a_config_is_saved_the_same_whatever_the_order() -> None:
    names = [f"layer.{number}.output.dense" for number in range(30)]
    config = BottleneckConfig(target_modules=names, layers_to_transform=[2, 1])
    config.target_modules = set(names)
    assert config.to_dict()["target_modules"] == sorted(names)
    assert config.to_dict()["layers_to_transform"] == [1, 2]
    assert BottleneckConfig(target_modules=set(names)).target_modules == sorted(names)


def test_a_second_adapter_finds_its_place_on_an_unknown_architecture(
    model_of: Any, run: Any
) -> None:
    base = model_of()
    base.config.model_type = "unheard-of"
    model = get_peft_model(base, BottleneckConfig(style="pfeiffer"))
    model.add_adapter("second", BottleneckConfig(style="houlsby"))
    assert len(model.base_model.targeted_module_names) == 6


def test_only_linear_layers_can_be_adapted(model_of: Any) -> None:
    with pytest.raises(CapabilityError, match="a LayerNorm"):
        get_peft_model(model_of(), BottleneckConfig(target_modules=["output.LayerNorm"]))
    with pytest.raises(CapabilityError, match="cannot stand beside"):
        get_peft_model(
            model_of(),
            BottleneckConfig(style="parallel", target_modules=["attention.output.dense"]),
        )


def test_a_parallel_adapter_says_when_it_cannot_see(adapted: Any, run: Any) -> None:
    model = adapted(style="parallel")
    model.get_base_model().encoder.layer[0].intermediate.dense = nn.Linear(32, 64)
    with pytest.raises(CapabilityError, match=r"encoder\.layer\.0\.output\.dense"):
        run(model)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"style": "square"}, "style"),
        ({"non_linearity": "linear"}, "non_linearity"),
        ({"reduction_factor": 0}, "reduction_factor"),
        ({"reduction_factor": float("nan")}, "reduction_factor"),
        ({"bottleneck_size": 0}, "bottleneck_size"),
        ({"dropout": 1.0}, "dropout"),
        ({"target_modules": "fc2", "layers_to_transform": [1]}, "layers_to_transform"),
    ],
)
def test_impossible_configs_are_refused(config: dict[str, Any], field: str) -> None:
    with pytest.raises(RecipeError) as raised:
        BottleneckConfig(**config)
    assert raised.value.field == field


@pytest.mark.parametrize("style", get_args(Style))
def test_parameters_are_counted_without_a_model(style: Style, adapted: Any) -> None:
    model = adapted(style=style, reduction_factor=4, trained=False)
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    places = len(model.base_model.targeted_module_names)
    assert learning == places * count_adapter_parameters(32, bottleneck_width(32, 4))
    assert bottleneck_width(32, 100) == 1
