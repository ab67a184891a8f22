"""Parameters by part of the model and by depth."""

from typing import Any

import pytest

from adapterhub_lite.errors import RecipeError
from adapterhub_lite.merging.values import MISSING, Place, Rules, resolve
from adapterhub_lite.streaming.naming import layers_of, role_of

NAMES = [
    "model.embed_tokens.weight",
    *(f"model.layers.{n}.{part}.weight" for n in range(5) for part in ("mlp.up", "input_norm")),
    "model.norm.weight",
    "lm_head.weight",
]


def value(given: Any, name: str) -> Any:
    layers = layers_of(NAMES)
    depth = layers[name].depth if name in layers else None
    return resolve(given, Place(name, role_of(name), depth), "models.0.weight", Rules())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.layers.0.mlp.up.weight", 0.0),
        ("model.layers.1.mlp.up.weight", 0.5),
        ("model.layers.2.mlp.up.weight", 1.0),
        ("model.layers.3.mlp.up.weight", 0.5),
        ("model.layers.4.mlp.up.weight", 0.0),
    ],
)
def test_a_list_is_a_gradient_over_layers(name: str, expected: float) -> None:
    assert value([0, 1, 0], name) == pytest.approx(expected)


def test_what_is_outside_the_layers_takes_the_end_it_is_at() -> None:
    assert value([0.2, 0.8], "model.embed_tokens.weight") == pytest.approx(0.2)
    assert value([0.2, 0.8], "model.norm.weight") == pytest.approx(0.8)
    assert value([0.2, 0.8], "lm_head.weight") == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("pattern", "hits"),
    [
        ("embeddings", ["model.embed_tokens.weight"]),
        ("norm", ["model.norm.weight"]),
        ("head", ["lm_head.weight"]),
        ("layers", NAMES[1:11]),
        ("rest", NAMES),
        ("lm_head.weight", ["lm_head.weight"]),
        ("*.mlp.*", NAMES[1:11:2]),
        ("contains:up", NAMES[1:11:2]),
        (r"/layers\.[01]\.mlp/", [NAMES[1], NAMES[3]]),
        ("head.weight", []),
    ],
)
def test_patterns(pattern: str, hits: list[str]) -> None:
    assert [name for name in NAMES if value({pattern: 1.0}, name) is not MISSING] == hits


def test_the_first_pattern_that_matches_decides() -> None:
    given = {"*.mlp.*": [0.0, 1.0], "layers": 0.3, "rest": 0.7}
    assert value(given, "model.layers.4.mlp.up.weight") == 1.0
    assert value(given, "model.layers.4.input_norm.weight") == 0.3
    assert value(given, "lm_head.weight") == 0.7


def test_conditions_in_mergekits_form() -> None:
    given = [{"filter": "mlp", "value": [0, 1]}, {"value": 0.5}]
    assert value(given, "model.layers.4.mlp.up.weight") == 1.0
    assert value(given, "model.norm.weight") == 0.5


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([0.1, "x"], "a gradient is a list of numbers"),
        ([], "a gradient is a list of numbers"),
        ([True, False], "a gradient is a list of numbers"),
        ({"rest": {"rest": 1}}, "cannot be nested"),
        ({"/[/": 1}, "no regular expression"),
        ([{"filter": "mlp", "valeu": 1}], "unknown key 'valeu'"),
        ([{"filter": "mlp"}], "has no value"),
    ],
)
def test_what_cannot_be_read_is_refused(given: Any, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        value(given, "lm_head.weight")


def test_a_pattern_that_never_hits_is_refused() -> None:
    rules = Rules()
    for name in NAMES:
        resolve({"mpl": 1, "rest": 0}, Place(name, role_of(name), None), "weight", rules)
    with pytest.raises(RecipeError, match="'weight': no tensor matches 'mpl'"):
        rules.refuse_unused()


def test_stacks_of_layers_count_apart() -> None:
    names = [f"encoder.block.{n}.w" for n in range(3)] + [f"decoder.block.{n}.w" for n in range(2)]
    layers = layers_of(names)
    assert layers["encoder.block.2.w"].depth == 1.0
    assert layers["decoder.block.1.w"].depth == 1.0
    assert layers["encoder.block.1.w"].depth == 0.5


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("bert.embeddings.word_embeddings.weight", "embeddings"),
        ("embeddings.position_embeddings.weight", "embeddings"),
        ("embeddings.LayerNorm.weight", "norm"),
        ("transformer.wte.weight", "embeddings"),
        ("shared.weight", "embeddings"),
        ("transformer.ln_f.weight", "norm"),
        ("encoder.final_layer_norm.weight", "norm"),
        ("classifier.weight", "head"),
        ("pooler.dense.weight", "head"),
        ("bert.encoder.layer.3.output.LayerNorm.weight", "layer"),
        ("decoder.block.0.layer.1.EncDecAttention.q.weight", "layer"),
        ("vit.patches.weight", "other"),
    ],
)
def test_roles(name: str, role: str) -> None:
    assert role_of(name) == role
