"""Every recipe that is written down is one: its keys, its parts, and their parameters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import RecipeError, UserError
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.recipes import (
    ComposeRecipe,
    MergeRecipe,
    PartChoice,
    TrainRecipe,
    validate,
)
from adapterhub_lite.recipes.mergekit import from_mergekit, is_mergekit
from adapterhub_lite.specs import CompositionSpec, Params
from adapterhub_lite.training.parts import PARTS, apply_preset, resolve_part
from tests.unit.docs.pages import DOCS, ROOT, blocks, name_of

FOLDERS = ("verbs", "coming-from")
PAGES = [
    ROOT / "README.md",
    DOCS / "quickstart.md",
    DOCS / "concepts.md",
    DOCS / "composition.md",
    *(page for folder in FOLDERS for page in sorted((DOCS / folder).glob("*.md"))),
]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return get_catalogue(first_party_only=True)


def check_train(values: dict[str, Any], catalogue: Catalogue) -> None:
    """Raise RecipeError if it is no training recipe."""
    recipe = validate(TrainRecipe, apply_preset(values, catalogue))
    for kind in PARTS:
        choice = getattr(recipe, kind)
        assert isinstance(choice, PartChoice)
        spec: Any = catalogue.offer(kind, choice.name).spec
        resolve_part(kind, choice, spec, catalogue)


def check_merge(values: dict[str, Any], catalogue: Catalogue) -> None:
    """Raise RecipeError if it is no merge recipe, or its strategy has no such parameters."""
    recipe = validate(MergeRecipe, values)
    if recipe.strategy is not None:
        spec = catalogue.strategy(recipe.strategy.name)
        known = keys(spec.params) | keys(spec.model_params)
        require(known, recipe.strategy.params, *(model.params for model in recipe.models))


def check_compose(values: dict[str, Any], catalogue: Catalogue) -> None:
    """Raise RecipeError if it is no composition, or that has no such parameters."""
    recipe = validate(ComposeRecipe, values)
    spec = catalogue.offer("composition", recipe.composition.name).spec
    assert isinstance(spec, CompositionSpec)
    require(keys(spec.params), recipe.composition.params)
    require(keys(spec.member_params), *(member.params for member in recipe.members))


def keys(params: type[Params]) -> set[str]:
    """Return the names of parameters as recipes write them."""
    return {field.alias or name for name, field in params.model_fields.items()}


def require(known: set[str], *given: dict[str, Any]) -> None:
    """Raise RecipeError for a parameter that is not known."""
    if unknown := set().union(*given) - known:
        raise RecipeError(f"no parameters: {sorted(unknown)}")


def check_mergekit(values: dict[str, Any], catalogue: Catalogue) -> None:
    """Raise RecipeError if it is not what mergekit reads, or not a merge for us."""
    assert is_mergekit(values)
    check_merge(from_mergekit(values), catalogue)


Check = Callable[[dict[str, Any], Catalogue], None]
CHECKS: dict[str, Check] = {
    "# train.yml": check_train,
    "# merge.yml": check_merge,
    "# mergekit.yml": check_mergekit,
    "composition:": check_compose,
    "# yaml-language-server": check_train,
    "base:": check_train,
}
"""How a block of YAML begins, and what it then has to be."""


def check(block: str, catalogue: Catalogue) -> None:
    """Raise RecipeError if a block is not the recipe that its first line announces."""
    (found,) = (check for start, check in CHECKS.items() if block.startswith(start))
    found(yaml.safe_load(block), catalogue)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_recipes_are_right(page: Path, catalogue: Catalogue) -> None:
    for block in blocks(page.read_text(encoding="utf-8"), "yaml"):
        check(block, catalogue)


@pytest.mark.parametrize(
    "block",
    [
        "# train.yml\npreset: setfit\nmethod: {layer: 1}\ndata: {train: a.csv}\n",
        "# train.yml\nmethod: lora\nobjective: classification\ndata: {trian: a.csv}\n",
        "# train.yml\nmethod: lorra\nobjective: classification\ndata: {train: a.csv}\n",
        "# merge.yml\nbase: a\nstrategy: ties\nmodels: [{ref: b, densty: 1}]\n",
        "composition: average\nmembers: [{ref: a, wait: 1}]\n",
        "composition: averge\nmembers: [a]\n",
        "# mergekit.yml\nmerge_method: ties\nbase_model: a\nmodels: [{model: b}]\ndtyp: float16\n",
    ],
)
def test_a_wrong_recipe_is_found(block: str, catalogue: Catalogue) -> None:
    with pytest.raises(UserError):
        check(block, catalogue)
