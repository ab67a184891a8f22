"""Reads a merge recipe, ours or mergekit's, with what is laid over it, and plans it."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import RecipeError
from adapterhub_lite.merging.adapters.plan import AdapterPlan, make_adapter_plan, why_dense
from adapterhub_lite.merging.engine import Settings
from adapterhub_lite.merging.extraction.plan import choice_of
from adapterhub_lite.merging.inputs import Inputs
from adapterhub_lite.merging.opening import NOTHING, Allowed
from adapterhub_lite.merging.plan import MergePlan, make_merge_plan
from adapterhub_lite.recipes import MergeRecipe, apply_overrides, validate
from adapterhub_lite.recipes.loading import read_documents
from adapterhub_lite.recipes.mergekit import from_mergekit, is_mergekit

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry


def plan_recipe(
    recipe: Mapping[str, Any] | Path | str,
    overrides: Iterable[str],
    catalogue: Catalogue,
    registry: "Registry",
    threads: int | None,
    device: str,
    allowed: Allowed = NOTHING,
) -> MergePlan | AdapterPlan:
    """Plan a recipe given as a mapping or a file; raises UserError."""
    values = read_values(recipe, overrides)
    checked = validate(MergeRecipe, values)
    settings = Settings(
        threads=threads or len(os.sched_getaffinity(0)), seed=checked.seed, device=device
    )
    inputs = Inputs(checked, catalogue, registry, allowed)
    if checked.output.kind == "adapter":
        reason = why_dense(checked, catalogue, inputs)
        if reason is None:
            return make_adapter_plan(checked, values, catalogue, inputs, settings)
        choice = choice_of(checked.output, reason)
        inputs.tell([f"the merged change is approximated, matrix by matrix: {reason}"])
        return make_merge_plan(checked, values, catalogue, inputs, settings, choice)
    return make_merge_plan(checked, values, catalogue, inputs, settings)


def read_values(recipe: Mapping[str, Any] | Path | str, overrides: Iterable[str]) -> dict[str, Any]:
    """Return the values of a recipe, ours or mergekit's, with ``a.b=value`` laid over them."""
    content: Any = dict(recipe) if isinstance(recipe, Mapping) else _read(Path(recipe))
    values = from_mergekit(content) if is_mergekit(content) else content
    if not isinstance(values, dict):
        raise RecipeError(f"{recipe} is no recipe: a recipe is a mapping of keys to values")
    return apply_overrides(values, map(_of_the_strategy, overrides))


def _read(file: Path) -> Any:
    """Return a file's document, or several as a list: mergekit-multi has one for each merge."""
    documents = read_documents(file)
    return documents[0] if len(documents) == 1 else documents


def _of_the_strategy(override: str) -> str:
    """Let a parameter stand alone: what is no field of the recipe is the strategy's."""
    first = override.partition("=")[0].partition(".")[0].strip()
    return override if first in MergeRecipe.model_fields else f"strategy.{override}"
