"""A recipe's parts resolved: the plugin behind each name, and its checked parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import RecipeError
from adapterhub_lite.plugins.admitted import Offer
from adapterhub_lite.recipes import PartChoice, validate
from adapterhub_lite.specs import LoaderSpec, MethodSpec, ObjectiveSpec, Params

PARTS: Final = ("loader", "method", "objective")
DEFAULT_LOADER = "fp32"

S = TypeVar("S", LoaderSpec, MethodSpec, ObjectiveSpec)


@dataclass(frozen=True, slots=True)
class ResolvedPart(Generic[S]):
    """A spec, who offers it, and the parameters it will run with."""

    spec: S
    params: Params
    offer: Offer

    def as_recipe(self) -> dict[str, Any]:
        """Return the part as a recipe writes it, every parameter spelled out."""
        return {"name": self.spec.name, **self.params.model_dump(mode="json")}


def resolve_part(kind: str, choice: PartChoice, spec: S, catalogue: Catalogue) -> ResolvedPart[S]:
    """Check a part's parameters against its plugin's model; raises RecipeError."""
    params = validate(spec.params, choice.params, where=kind)
    return ResolvedPart(spec, params, catalogue.offer(kind, choice.name))


def apply_preset(values: Mapping[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    """Return a recipe's values with its preset filled in below them.

    A part that the recipe gives without a name, or with the preset's name, keeps the preset's
    other parameters; a part with another name replaces the preset's. Raises RecipeError when
    there is neither a preset nor a method and an objective.
    """
    result = dict(values)
    preset = values.get("preset")
    if isinstance(preset, str):
        for kind, given in catalogue.preset(preset).recipe.items():
            result[kind] = _merge_part(kind, given, values.get(kind))
    result["loader"] = _merge_part("loader", {"name": DEFAULT_LOADER}, result.get("loader"))
    for kind in ("method", "objective"):
        if not result.get(kind):
            raise RecipeError(
                f"{kind!r} is missing",
                field=kind,
                hint=f"give a preset ({', '.join(catalogue.names('preset'))}), "
                f"or {kind}: one of {', '.join(catalogue.names(kind))}",
            )
    return result


def _merge_part(kind: str, preset: Mapping[str, Any], given: Any) -> dict[str, Any]:
    if given is None:
        return dict(preset)
    own = {"name": given} if isinstance(given, str) else given
    if not isinstance(own, Mapping):
        raise RecipeError(
            f"{kind!r} is a name, or a mapping with 'name' and parameters", field=kind
        )
    if own.get("name", preset["name"]) != preset["name"]:
        return dict(own)
    return {**preset, **own}
