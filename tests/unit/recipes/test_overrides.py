"""``--set``: values laid over a recipe."""

import copy
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.errors import RecipeError
from adapterhub_lite.recipes import apply_overrides

KEYS = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=6)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)
RECIPES = st.dictionaries(KEYS | st.sampled_from(["loader", "method", "objective"]), VALUES)


@pytest.mark.parametrize(
    ("overrides", "result"),
    [
        (["seed=3"], {"seed": 3}),
        (["seed=1", "seed=2"], {"seed": 2}),
        (["data.train=a.csv"], {"data": {"train": "a.csv"}}),
        (["a.b.c=1"], {"a": {"b": {"c": 1}}}),
        (["publish=null"], {"publish": None}),
        (["publish="], {"publish": None}),
        (["publish='7'"], {"publish": "7"}),
        (["x=yes"], {"x": True}),
        (["x=1e-3"], {"x": "1e-3"}),
        (["x=1.0e-3"], {"x": 0.001}),
        (["x=a=b"], {"x": "a=b"}),
        (["x=[1, {y: 2}]"], {"x": [1, {"y": 2}]}),
        ([" a . b = 1"], {"a": {"b": 1}}),
        (["method=full", "method.layers=2"], {"method": {"name": "full", "layers": 2}}),
        ([], {}),
    ],
)
def test_values_are_yaml(overrides: list[str], result: dict[str, Any]) -> None:
    assert apply_overrides({}, overrides) == result


@pytest.mark.parametrize("kind", ["loader", "method", "objective"])
def test_a_bare_name_becomes_a_mapping(kind: str) -> None:
    assert apply_overrides({kind: "x"}, [f"{kind}.k=2"]) == {kind: {"name": "x", "k": 2}}


def test_an_empty_section_can_be_filled() -> None:
    assert apply_overrides({"data": None}, ["data.shots=8"]) == {"data": {"shots": 8}}


@pytest.mark.parametrize(
    ("recipe", "override", "field"),
    [
        ({"base": "minilm"}, "base.layers=2", "base"),
        ({"seed": 1}, "seed.x=2", "seed"),
        ({"data": {"train": "a.csv"}}, "data.train.x=2", "data.train"),
        ({"data": {"label": ["a", "b"]}}, "data.label.0=2", "data.label"),
        ({"data": {"method": "full"}}, "data.method.x=2", "data.method"),
    ],
)
def test_no_key_goes_below_a_value(recipe: dict[str, Any], override: str, field: str) -> None:
    with pytest.raises(RecipeError) as caught:
        apply_overrides(recipe, [override])
    assert caught.value.message == f"--set {override!r}: {field!r} has no keys below it"
    assert caught.value.field == field


@pytest.mark.parametrize("override", ["seed", "", "=3", " =3", ".=3", "a..b=3", ".a=3", "a.=3"])
def test_what_is_no_override(override: str) -> None:
    with pytest.raises(RecipeError) as caught:
        apply_overrides({}, [override])
    assert caught.value.message == f"--set {override!r} is not of the form key=value"


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("method=[1", "expected ',' or ']'"),
        ("method={r: 1, r: 2}", "the key 'r' is given twice"),
        ("method=2024-13-45", "month must be in 1..12"),
    ],
)
def test_a_value_that_is_no_yaml(override: str, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason) as caught:
        apply_overrides({}, [override])
    assert caught.value.message.startswith(f"--set {override!r}: ")
    assert caught.value.field == "method"


@given(recipe=RECIPES, path=st.lists(KEYS, min_size=1, max_size=4), value=VALUES)
def test_the_recipe_given_is_never_changed(
    recipe: dict[str, Any], path: list[str], value: Any
) -> None:
    before = copy.deepcopy(recipe)
    try:
        changed = apply_overrides(recipe, [f"{'.'.join(path)}={yaml.safe_dump(value)}"])
    except RecipeError:
        changed = {}
    assert recipe == before
    assert changed is not recipe


@given(path=st.lists(KEYS, min_size=1, max_size=4), value=VALUES)
def test_what_is_set_is_what_is_read(path: list[str], value: Any) -> None:
    text = yaml.safe_dump(value)
    found: Any = apply_overrides({"other": 1}, [f"zz.{'.'.join(path)}={text}"])
    assert found["other"] == 1
    for key in ["zz", *path]:
        found = found[key]
    assert found == value
