"""The merge recipe's JSON Schema, held against the recipes that the pages show, and the code."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.recipes import MergeRecipe, validate
from adapterhub_lite.recipes.merge_schema import merge_schema
from adapterhub_lite.recipes.mergekit import is_mergekit
from tests.unit.recipes.test_schema import undescribed

PAGE = (Path(__file__).parents[3] / "docs" / "merging.md").read_text(encoding="utf-8")
BLOCKS = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
MODELS = {"strategy": "linear", "models": ["./a", "./b"]}
EXAMPLES = [
    block if "models" in block or "slices" in block else {**MODELS, **block}
    for block in BLOCKS
    if not is_mergekit(block)
]
"""Whole recipes, and parts of one with models put beside them."""


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    from adapterhub_lite.plugins import get_catalogue

    return merge_schema(get_catalogue(first_party_only=True))


@pytest.fixture
def accepts(schema: dict[str, Any]) -> Any:
    return Draft202012Validator(schema).is_valid


def test_the_schema_is_a_schema_with_help_for_every_key(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)
    assert undescribed(schema) == []


def test_every_strategy_is_offered_with_its_parameters(
    schema: dict[str, Any], catalogue: Catalogue
) -> None:
    names, *choices = schema["$defs"]["Strategy"]["anyOf"]
    assert names["enum"] == catalogue.names("strategy")
    for choice in choices:
        spec = catalogue.strategy(choice["title"])
        fields = {**spec.params.model_fields, **spec.model_params.model_fields}
        keys = {field.alias or name for name, field in fields.items()}
        assert set(choice["properties"]) == {"name", *keys}


@pytest.mark.parametrize("recipe", EXAMPLES)
def test_the_recipes_of_the_page_are_accepted(schema: dict[str, Any], recipe: Any) -> None:
    validate(MergeRecipe, recipe)
    Draft202012Validator(schema).validate(recipe)


def test_the_page_has_recipes() -> None:
    assert len(EXAMPLES) > 2


@pytest.mark.parametrize(
    "recipe",
    [
        MODELS,
        {**MODELS, "strategy": {"name": "ties", "density": [0.2, 0.8], "lambda": 1.0}},
        {**MODELS, "models": [{"ref": "./a", "weight": {"layers": [0, 1], "rest": 0.5}}]},
        {**MODELS, "tokenizer": "union", "output": {"kind": "adapter", "rank": "exact"}},
    ],
)
def test_what_the_code_takes_the_schema_takes(accepts: Any, recipe: Any) -> None:
    validate(MergeRecipe, recipe)
    assert accepts(recipe)


@pytest.mark.parametrize(
    "recipe",
    [
        {**MODELS, "stratgey": "ties"},
        {**MODELS, "strategy": "teis"},
        {**MODELS, "strategy": {"name": "ties", "densty": 0.5}},
        {**MODELS, "strategy": {"name": "ties", "density": "half"}},
        {**MODELS, "models": [{"ref": "./a", "wieght": 1}]},
        {**MODELS, "models": [{"weight": 1}]},
        {**MODELS, "models": [{"ref": "./a", "stage": "s"}]},
        {**MODELS, "output": {"kind": "modle"}},
        {**MODELS, "heads": "keep"},
    ],
)
def test_what_is_wrong_is_marked(accepts: Any, recipe: Any) -> None:
    assert not accepts(recipe)
