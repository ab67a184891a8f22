"""A recipe's mistakes are named by their dotted field, with what was probably meant."""

from typing import Any

import pytest

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import RecipeError, UnknownNameError
from adapterhub_lite.recipes import DataSection, TrainRecipe, apply_overrides, validate
from adapterhub_lite.training.parts import apply_preset, resolve_part
from adapterhub_lite.training.plan import make_plan

DATA = {"train": "tickets.csv"}


@pytest.fixture
def mistake(catalogue: Catalogue) -> Any:
    """Plan a recipe that must be refused; return the error. Neither base nor data is reached."""

    def plan(**values: Any) -> RecipeError:
        recipe = {"preset": "setfit", "data": DATA, **values}
        with pytest.raises(RecipeError) as caught:
            make_plan(recipe, catalogue, None)  # type: ignore[arg-type]
        assert "\n" not in caught.value.message
        return caught.value

    return plan


@pytest.mark.parametrize(
    ("values", "field", "meant"),
    [
        ({"sead": 3}, "sead", "seed"),
        ({"Base": "minilm"}, "Base", "base"),
        ({"methods": "full"}, "methods", "method"),
        ({"data": {**DATA, "lables": "intent"}}, "data.lables", "label"),
        ({"data": {"trian": "a.csv"}}, "data.trian", "train"),
        ({"method": {"layer": 2}}, "method.layer", "layers"),
        ({"method": {"name": "full", "layer": 2}}, "method.layer", "layers"),
        ({"objective": {"step": 2}}, "objective.step", "steps"),
        ({"devise": "cpu"}, "devise", "device"),
        ({"loader": {"atention": "eager"}}, "loader.atention", "attention"),
    ],
)
def test_an_unknown_key_comes_with_the_nearest(
    mistake: Any, values: dict[str, Any], field: str, meant: str
) -> None:
    error = mistake(**values)
    assert error.field == field
    assert error.message.startswith(f"unknown key {field!r}")
    assert error.hint == f"did you mean {meant!r}?"


def test_a_key_like_no_other_comes_with_all_of_them(mistake: Any) -> None:
    assert mistake(zzzz=1).hint == f"known keys: {', '.join(sorted(TrainRecipe.model_fields))}"
    assert mistake(method={"zzzz": 1}).hint == "known keys: layers, parameters"


def test_an_unknown_key_is_named_before_what_is_missing(mistake: Any) -> None:
    error = mistake(data={"trian": "a.csv"})
    assert error.message == "unknown key 'data.trian' (and 1 more)"


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        ({"seed": "three"}, "seed", "should be a valid integer"),
        ({"seed": -1}, "seed", "should be greater than or equal to 0, not -1"),
        ({"seed": 2**53}, "seed", "should be less than"),
        ({"seeds": 0}, "seeds", "should be greater than or equal to 1, not 0"),
        ({"base": ""}, "base", "should have at least 1 character"),
        ({"base": 7}, "base", "should be a valid string, not 7"),
        ({"publish": ["a"]}, "publish", "should be a valid string"),
        ({"preset": 7}, "preset", "should be a valid string, not 7"),
        ({"data": "tickets.csv"}, "data", "should be a mapping of keys to values"),
        ({"data": {}}, "data.train", "is missing"),
        ({"data": {**DATA, "shots": 0}}, "data.shots", "greater than or equal to 1, not 0"),
        ({"data": {**DATA, "holdout": 1}}, "data.holdout", "should be less than 1, not 1"),
        ({"data": {**DATA, "holdout": float("nan")}}, "data.holdout", "should be a finite number"),
        (
            {"data": {**DATA, "label": {"a": 1}}},
            "data.label",
            "should be a valid string or should be a valid list",
        ),
        ({"data": {**DATA, "test": "b", "holdout": 0.2}}, "data", "either 'test' or 'holdout'"),
        ({"method": 3}, "method", "should be a mapping of keys to values"),
        ({"method": ["full"]}, "method", "should be a mapping of keys to values"),
        ({"method": {"name": 3}}, "method.name", "should be a valid string, not 3"),
        ({"device": "gpu"}, "device", "should be 'auto', 'cpu' or 'cuda'"),
        ({"method": {"layers": -1}}, "method.layers", "than or equal to 0 or should be 'all'"),
        ({"method": {"parameters": ["*.bias"]}}, "method", "either 'layers' or 'parameters'"),
        ({"loader": {"attention": "flash"}}, "loader.attention", "use loader bf16, or sdpa"),
        ({"method": {"layers": "top"}}, "method.layers", "or should be 'all', not 'top'"),
        ({"objective": {"steps": -1}}, "objective.steps", "greater than or equal to 0, not -1"),
        ({"objective": {"head_c": [1, "x"]}}, "objective.head_c.1", "should be a valid number"),
        ({"objective": {"engine": "quick"}}, "objective.engine", "should be 'fast' or 'setfit'"),
        ({1: 2}, "1", "keys should be strings"),
    ],
)
def test_a_wrong_value_is_named_by_its_field(
    catalogue: Catalogue, values: dict[Any, Any], field: str, message: str
) -> None:
    recipe = {"preset": "setfit", "data": DATA} | values
    with pytest.raises(RecipeError) as caught:
        make_plan(recipe, catalogue, None)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert caught.value.message.startswith(f"{field!r}")
    assert message in caught.value.message


def test_an_unknown_preset_comes_with_the_nearest(catalogue: Catalogue) -> None:
    with pytest.raises(UnknownNameError) as caught:
        apply_preset({"preset": "setfi", "data": DATA}, catalogue)
    assert (caught.value.kind, caught.value.nearest) == ("preset", "setfit")


@pytest.mark.parametrize(
    ("kind", "name", "nearest"),
    [("method", "ful", "full"), ("objective", "contrastiv", "contrastive"),
     ("loader", "fp23", "fp32"), ("method", "zzzz", None)],
)  # fmt: skip
def test_an_unknown_part_comes_with_the_nearest(
    catalogue: Catalogue, kind: str, name: str, nearest: str | None
) -> None:
    recipe = {"preset": "setfit", "data": DATA, kind: name}
    with pytest.raises(UnknownNameError) as caught:
        make_plan(recipe, catalogue, None)  # type: ignore[arg-type]
    assert (caught.value.kind, caught.value.name) == (kind, name)
    assert caught.value.nearest == nearest


SETFIT = {
    "loader": {"name": "fp32"},
    "method": {"name": "full", "layers": 1},
    "objective": {"name": "contrastive"},
}


@pytest.mark.parametrize(
    ("own", "merged"),
    [
        ({}, {}),
        ({"method": None}, {}),
        ({"method": "full"}, {}),
        ({"method": {"layers": 2}}, {"method": {"name": "full", "layers": 2}}),
        ({"method": {"name": "full", "layers": 2}}, {"method": {"name": "full", "layers": 2}}),
        ({"method": "lora"}, {"method": {"name": "lora"}}),
        ({"method": {"name": "lora", "r": 8}}, {"method": {"name": "lora", "r": 8}}),
        ({"objective": {"steps": 3}}, {"objective": {"name": "contrastive", "steps": 3}}),
        ({"loader": "int4"}, {"loader": {"name": "int4"}}),
    ],
)
def test_a_recipes_own_keys_win_over_its_preset(
    catalogue: Catalogue, own: dict[str, Any], merged: dict[str, Any]
) -> None:
    values = {"preset": "setfit", "data": DATA, **own}
    result = apply_preset(values, catalogue)
    assert result == {"preset": "setfit", "data": DATA, **SETFIT, **merged}
    assert values == {"preset": "setfit", "data": DATA, **own}
    assert dict(catalogue.preset("setfit").recipe) == SETFIT


def test_without_a_preset_the_loader_has_a_default(catalogue: Catalogue) -> None:
    values = {"method": "full", "objective": "contrastive", "data": DATA}
    assert apply_preset(values, catalogue)["loader"] == {"name": "fp32"}


@pytest.mark.parametrize("given", [{}, {"objective": "contrastive"}, {"method": ""}])
def test_without_a_preset_the_error_says_what_to_give(
    catalogue: Catalogue, given: dict[str, Any]
) -> None:
    with pytest.raises(RecipeError) as caught:
        apply_preset({"data": DATA, **given}, catalogue)
    assert caught.value.field == "method"
    assert caught.value.message == "'method' is missing"
    presets, methods = (", ".join(catalogue.names(kind)) for kind in ("preset", "method"))
    assert caught.value.hint == f"give a preset ({presets}), or method: one of {methods}"
    assert {"linear-probe", "setfit"} <= set(catalogue.names("preset"))


def test_without_a_preset_a_part_needs_its_name(catalogue: Catalogue) -> None:
    values = {"method": {"layers": 2}, "objective": "contrastive", "data": DATA}
    with pytest.raises(RecipeError) as caught:
        make_plan(values, catalogue, None)  # type: ignore[arg-type]
    assert caught.value.message == "'method.name' is missing"
    assert caught.value.field == "method.name"


def test_overrides_lie_over_the_preset(catalogue: Catalogue) -> None:
    values = apply_overrides({"preset": "setfit", "data": DATA}, ["method.layers=all"])
    recipe = validate(TrainRecipe, apply_preset(values, catalogue))
    assert recipe.method is not None
    part = resolve_part("method", recipe.method, catalogue.method("full"), catalogue)
    assert part.as_recipe() == {"name": "full", "layers": "all", "parameters": []}


def test_a_bare_name_takes_the_plugins_defaults(catalogue: Catalogue) -> None:
    recipe = validate(TrainRecipe, {"method": "full", "data": DATA})
    assert recipe.method is not None
    part = resolve_part("method", recipe.method, catalogue.method("full"), catalogue)
    assert part.as_recipe() == {"name": "full", "layers": "all", "parameters": []}


def test_a_recipe_does_not_change_after_reading() -> None:
    recipe = validate(TrainRecipe, {"data": DATA})
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 3  # type: ignore[misc]


def test_a_recipe_survives_its_own_json() -> None:
    recipe = validate(TrainRecipe, {"data": {**DATA, "label": ["a", "b"]}, "method": "full"})
    assert validate(TrainRecipe, recipe.model_dump(mode="json")) == recipe


def test_where_is_put_before_the_field() -> None:
    with pytest.raises(RecipeError) as caught:
        validate(DataSection, {"train": 3}, where="data")
    assert caught.value.field == "data.train"
