"""The JSON Schema for editors, and the page about recipes, both held against the code."""

import re
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import Field

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.plugins import PluginSource, load_catalogue
from adapterhub_lite.recipes import DataSection, TrainRecipe, validate
from adapterhub_lite.recipes.schema import train_schema
from adapterhub_lite.specs import MethodSpec, Params
from adapterhub_lite.training.parts import apply_preset, resolve_part

PAGE = (Path(__file__).parents[3] / "docs" / "recipes.md").read_text(encoding="utf-8")
EXAMPLES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
DATA = {"train": "tickets.csv"}


@pytest.fixture
def schema(catalogue: Catalogue) -> dict[str, Any]:
    return train_schema(catalogue)


@pytest.fixture
def accepts(schema: dict[str, Any]) -> Any:
    return Draft202012Validator(schema).is_valid


def undescribed(schema: Any, path: str = "") -> list[str]:
    """Return the paths of properties that neither have a description nor point to one."""
    missing = []
    if isinstance(schema, dict):
        for key, found in schema.get("properties", {}).items():
            if not (found.get("description") or "$ref" in found):
                missing.append(f"{path}/{key}")
        for name, value in schema.items():
            missing += undescribed(value, f"{path}/{name}")
    elif isinstance(schema, list):
        for number, value in enumerate(schema):
            missing += undescribed(value, f"{path}/{number}")
    return missing


def part(schema: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    """Return the schema of one plugin's part."""
    choices = schema["properties"][kind]["anyOf"]
    (found,) = [choice for choice in choices if choice.get("title") == name]
    assert isinstance(found, dict)
    return found


def test_the_schema_is_a_schema(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_key_has_help(schema: dict[str, Any]) -> None:
    plain = {key: value for key, value in schema.items() if key not in ("if", "else")}
    assert undescribed(plain) == []
    assert all(definition["description"] for definition in schema["$defs"].values())
    assert undescribed({"properties": {"a": {}}}) == ["/a"]


@pytest.mark.parametrize("kind", ["loader", "method", "objective", "preset"])
def test_every_installed_name_is_offered(
    schema: dict[str, Any], catalogue: Catalogue, kind: str
) -> None:
    assert schema["properties"][kind]["anyOf"][0]["enum"] == catalogue.names(kind) != []


@pytest.mark.parametrize("kind", ["loader", "method", "objective"])
def test_every_parameter_is_offered_with_its_help(
    schema: dict[str, Any], catalogue: Catalogue, kind: str
) -> None:
    for name in catalogue.names(kind):
        spec: Any = catalogue.offer(kind, name).spec
        found = part(schema, kind, name)
        assert found["description"] == spec.summary
        assert set(found["properties"]) == {"name", *spec.params.model_fields}
        for key, field in spec.params.model_fields.items():
            assert found["properties"][key]["description"] == field.description


@pytest.mark.parametrize(
    "recipe",
    [
        {"preset": "setfit", "data": DATA},
        {"preset": "setfit", "method": {"layers": 2}, "data": DATA},
        {"preset": "setfit", "method": "full", "loader": None, "data": DATA},
        {"method": "full", "objective": "contrastive", "data": DATA},
        {"preset": "linear-probe", "objective": "contrastive", "device": "cpu", "data": DATA},
        {
            "method": {"name": "full", "parameters": ["*.bias"]},
            "objective": "contrastive",
            "loader": {"name": "fp32", "attention": "eager"},
            "data": DATA,
        },
        {"preset": None, "method": {"name": "full"}, "objective": "contrastive", "data": DATA},
    ],
)
def test_what_the_code_takes_the_schema_takes(
    accepts: Any, catalogue: Catalogue, recipe: dict[str, Any]
) -> None:
    validate(TrainRecipe, apply_preset(recipe, catalogue))
    assert accepts(recipe)


@pytest.mark.parametrize(
    "recipe",
    [
        {"preset": "setfit", "data": DATA, "sead": 3},
        {"preset": "setfit", "data": {**DATA, "lables": "x"}},
        {"preset": "setfit", "data": DATA, "method": {"layer": 2}},
        {"preset": "setfit", "data": DATA, "method": {"name": "full", "layer": 2}},
        {"preset": "setfit", "data": DATA, "method": {"layers": -1}},
        {"preset": "setfit", "data": DATA, "method": "ful"},
        {"preset": "setfi", "data": DATA},
        {"preset": "setfit", "data": DATA, "seed": "x"},
        {"preset": "setfit", "data": DATA, "device": "gpu"},
        {"preset": "setfit"},
        {"data": DATA},
        {"data": DATA, "method": "full"},
        {"data": DATA, "preset": None},
        {"data": DATA, "method": None, "objective": "contrastive"},
        {"data": DATA, "method": {"layers": 2}, "objective": "contrastive"},
        {
            "data": DATA,
            "method": "full",
            "objective": "contrastive",
            "loader": {"attention": "sdpa"},
        },
    ],
)
def test_what_the_code_refuses_the_schema_refuses(accepts: Any, recipe: dict[str, Any]) -> None:
    assert not accepts(recipe)


class Rank(Enum):
    LOW = "low"


class Nested(Params):
    rank: Rank = Field(default=Rank.LOW, description="How much.")


class RichParams(Params):
    targets: Nested = Field(default=Nested(), description="What to train.")
    r: int = Field(description="The rank.")


def offering(distribution: str, *names: str) -> PluginSource:
    """Make a plugin whose methods have nested parameters, and one without a default."""

    @hookimpl
    def adapterhub_methods() -> list[MethodSpec]:
        return [MethodSpec(name=name, summary="Rich.", params=RichParams) for name in names]

    module = ModuleType(distribution)
    vars(module)["adapterhub_methods"] = adapterhub_methods
    return PluginSource("methods", distribution, "1.0", lambda: module)


def test_nested_parameters_of_a_strangers_plugin() -> None:
    sources = [record.source for record in load_catalogue(first_party_only=True).records]
    schema = train_schema(Catalogue([*sources, offering("acme", "rich", "a/b")]))
    Draft202012Validator.check_schema(schema)
    accepts = Draft202012Validator(schema).is_valid
    for name in ("rich", "a/b"):
        recipe = {"objective": "contrastive", "data": DATA}
        own = {"name": name, "r": 8, "targets": {"rank": "low"}}
        assert accepts({**recipe, "method": own})
        assert not accepts({**recipe, "method": {**own, "targets": {"rank": "high"}}})
        assert not accepts({**recipe, "method": {**own, "targets": {"rang": "low"}}})
        assert not accepts({**recipe, "method": {"name": name}})


def test_a_conflict_leaves_the_other_names() -> None:
    sources = [record.source for record in load_catalogue(first_party_only=True).records]
    both = [offering("acme", "rich", "mine"), offering("other", "rich")]
    schema = train_schema(Catalogue([*sources, *both]))
    ours = load_catalogue(first_party_only=True).names("method")
    assert schema["properties"]["method"]["anyOf"][0]["enum"] == sorted([*ours, "mine"])


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("recipe", EXAMPLES)
def test_each_example_on_the_page_is_a_recipe(
    accepts: Any, catalogue: Catalogue, recipe: dict[str, Any]
) -> None:
    assert accepts(recipe)
    assert not accepts({**recipe, "sead": 3})
    read = validate(TrainRecipe, apply_preset(recipe, catalogue))
    assert read.method is not None
    assert read.objective is not None
    method, objective = (
        catalogue.method(read.method.name),
        catalogue.objective(read.objective.name),
    )
    resolve_part("method", read.method, method, catalogue)
    resolve_part("objective", read.objective, objective, catalogue)


@pytest.mark.parametrize(
    ("model", "start", "end"),
    [(TrainRecipe, "## The keys", "### Loader"), (DataSection, "### Data", "## What wins")],
)
def test_each_field_has_a_row_on_the_page(model: Any, start: str, end: str) -> None:
    section = PAGE.partition(start)[2].partition(end)[0]
    rows = re.findall(r"^\| `(\w+)` \| .+ \|(.*)\|$", section, re.MULTILINE)
    assert {name for name, _ in rows} == set(model.model_fields)
    for name, default in rows:
        if name != "loader" and (literal := re.fullmatch(r" `(.+)` ", default)):
            field = model.model_fields[name].default
            assert literal[1] == (field if isinstance(field, str) else str(field).lower())
