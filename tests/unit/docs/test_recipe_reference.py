"""docs/reference/recipes.md is what the recipes' schemas say.

After changing one, write the page anew: ``python tests/unit/docs/test_recipe_reference.py``.
"""

from typing import Any

from pydantic import BaseModel

from adapterhub_lite.recipes.compose import ComposeRecipe
from adapterhub_lite.recipes.merge import MergeRecipe
from adapterhub_lite.recipes.mergekit_schema import MergekitRecipe
from adapterhub_lite.recipes.train import TrainRecipe
from tests.unit.docs.pages import REFERENCE, cell, fields_table

PAGE = REFERENCE / "recipes.md"
INTRODUCTION = """\
# Recipes

Every key that a recipe may have. Any other key is an error that names the nearest one. How recipes
are meant stands in [Training recipes](../recipes.md) and [Merging](../merging.md); parameters of
[methods](methods.md), [objectives](objectives.md) and [loaders](parts.md) stand on pages of their
own, those of merge strategies in [Merge strategies](../strategies.md).

This page is written from the schemas by `python tests/unit/docs/test_recipe_reference.py`.
"""
ROOTS: dict[str, type[BaseModel]] = {
    "Training recipe": TrainRecipe,
    "Merge recipe": MergeRecipe,
    "Composition recipe": ComposeRecipe,
    "mergekit recipe": MergekitRecipe,
}


def page() -> str:
    """Return docs/reference/recipes.md as it should be: each part below the first that has it."""
    lines = [INTRODUCTION]
    told: set[str] = set()
    for title, model in ROOTS.items():
        schema = model.model_json_schema()
        parts = schema.pop("$defs")
        lines += [f"## {title}\n", *body(schema, parts)]
        for name in sorted(parts.keys() - told):
            lines += [f"### {name}\n", *body(parts[name], parts)]
        told |= parts.keys()
    return "\n".join(lines).rstrip() + "\n"


def body(schema: dict[str, Any], parts: dict[str, Any]) -> list[str]:
    """Return a model's own words and the table of its keys."""
    return [f"{cell(schema['description'])}\n", *fields_table(schema, parts)]


def test_the_page_is_what_the_schemas_say() -> None:
    update = "write it anew: python tests/unit/docs/test_recipe_reference.py"
    assert PAGE.read_text(encoding="utf-8") == page(), update


def test_no_two_parts_share_a_name() -> None:
    """A part is found by its name, so two models of one name would hide each other."""
    known: dict[str, Any] = {}
    for model in ROOTS.values():
        for name, part in model.model_json_schema()["$defs"].items():
            assert known.setdefault(name, part) == part


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
