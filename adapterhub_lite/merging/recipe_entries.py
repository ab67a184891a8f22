"""Every model that a merge recipe names, with where it stands and its parameters."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapterhub_lite.errors import RecipeError, nearest_name
from adapterhub_lite.recipes.merge import Merged, MergeInput, MergeRecipe


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of a recipe; ``where`` is empty for one of the recipe's own list."""

    name: str
    where: str
    params: Mapping[str, Any]
    is_stage: bool


def entries_of(recipe: MergeRecipe) -> list[Entry]:
    """Return the models of a recipe in its order: its own, those of modules, and of stages."""
    found = list(_merged(recipe, ""))
    for prefix, module in recipe.modules.items():
        found += _merged(module, f"module {prefix}")
    for name, stage in recipe.stages.items():
        found += _merged(stage, f"stage {name}")
    return found


def check_stages(recipe: MergeRecipe) -> None:
    """Raise RecipeError for a stage that is not there, and for stages that need each other."""
    _follow(recipe, [recipe, *recipe.modules.values()], ())


def _follow(recipe: MergeRecipe, merges: Iterable[Merged], above: tuple[str, ...]) -> None:
    merges = list(merges)
    names = {entry.name for merged in merges for entry in _merged(merged, "") if entry.is_stage}
    names |= {merged.base for merged in merges if merged.base in recipe.stages and merged.base}
    for name in sorted(names):
        if name not in recipe.stages:
            near = nearest_name(name, recipe.stages)
            hint = f"did you mean {near!r}?" if near else "stages are named under `stages`"
            raise RecipeError(f"there is no stage {name!r}", field="stages", hint=hint)
        if name in above:
            circle = " → ".join([*above, name])
            raise RecipeError(f"stages need each other in a circle: {circle}", field="stages")
        _follow(recipe, [recipe.stages[name]], (*above, name))


def _merged(merged: Merged, where: str) -> Iterator[Entry]:
    for model in merged.models:
        yield _entry(model, where)
    for number, piece in enumerate(merged.slices, 1):
        for model in piece.models:
            place = f"slice {number}"
            if model.layers:
                place += f", layers {model.layers[0]} to {model.layers[1] - 1}"
            yield _entry(model, ", ".join(filter(None, (where, place))))


def _entry(model: MergeInput, where: str) -> Entry:
    if model.stage is not None:
        return Entry(model.stage, where, model.params, is_stage=True)
    return Entry(str(model.ref), where, model.params, is_stage=False)
