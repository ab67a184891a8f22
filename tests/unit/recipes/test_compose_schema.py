"""The JSON Schema of a composition's recipe, held against the page's recipes, and the code."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.recipes import ComposeRecipe, validate
from adapterhub_lite.recipes.compose_schema import compose_schema
from tests.unit.recipes.test_schema import undescribed

PAGE = (Path(__file__).parents[3] / "docs" / "composition.md").read_text(encoding="utf-8")
RECIPES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
EXAMPLES = [recipe for recipe in RECIPES if "method" not in recipe]
"""A fusion is trained, and its recipe is one of training."""
AVERAGE = {"composition": "average", "members": ["a@1", "b@1"]}


@pytest.fixture
def schema(catalogue: Catalogue) -> dict[str, Any]:
    return compose_schema(catalogue)


def test_the_schema_is_a_schema_with_help_for_every_key(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)
    assert undescribed(schema) == []


def test_every_composition_is_offered_with_its_parameters(
    schema: dict[str, Any], catalogue: Catalogue
) -> None:
    names, *choices = schema["$defs"]["Composition"]["anyOf"]
    assert names["enum"] == catalogue.names("composition")
    _, member = schema["$defs"]["ComposeMember"]["anyOf"]
    for choice in choices:
        spec = catalogue.composition(choice["title"])
        assert set(choice["properties"]) == {"name", *spec.params.model_fields}
        assert set(spec.member_params.model_fields) <= set(member["properties"])


@pytest.mark.parametrize("recipe", EXAMPLES)
def test_the_recipes_of_the_page_are_accepted(schema: dict[str, Any], recipe: Any) -> None:
    validate(ComposeRecipe, recipe)
    Draft202012Validator(schema).validate(recipe)


def test_the_page_has_recipes() -> None:
    assert len(EXAMPLES) > 1


@pytest.mark.parametrize(
    ("recipe", "right"),
    [
        (AVERAGE, True),
        ({**AVERAGE, "composition": {"name": "average", "normalise": False}}, True),
        ({**AVERAGE, "members": [{"ref": "a", "weight": 2.5}, "b"]}, True),
        ({**AVERAGE, "composition": "averge"}, False),
        ({**AVERAGE, "composition": {"normalise": False}}, False),
        ({**AVERAGE, "composition": {"name": "stack", "normalise": False}}, False),
        ({**AVERAGE, "members": [{"ref": "a", "weight": "much"}]}, False),
        ({**AVERAGE, "members": [{"ref": "a", "wait": 1}]}, False),
        ({**AVERAGE, "members": [{"weight": 1}]}, False),
        ({**AVERAGE, "member": []}, False),
    ],
)
def test_right_and_wrong_recipes_are_told_apart(
    schema: dict[str, Any], recipe: Any, right: bool
) -> None:
    assert Draft202012Validator(schema).is_valid(recipe) is right
