"""The plan: everything that can be known, and refused, before a weight is loaded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.architecture import Architecture, read_architecture
from adapterhub_lite.bases import resolve_base
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.prepare import PreparedData, prepare
from adapterhub_lite.data.shots import sample_shots
from adapterhub_lite.data.table import TextSet
from adapterhub_lite.errors import CapabilityError, DataError, RecipeError
from adapterhub_lite.recipes import TrainRecipe, validate
from adapterhub_lite.specs import LoaderSpec, MethodSpec, ObjectiveSpec, ResolvedBase
from adapterhub_lite.training.parts import ResolvedPart, apply_preset, resolve_part

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry

GRADIENT_AND_ADAM_BYTES = 12
"""Bytes a trainable parameter costs beside itself: gradient and two moments, in 32 bits."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes a run needs for weights, and for gradients and optimiser; activations come on top."""

    weights: int
    training: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.weights + self.training


@dataclass(frozen=True, slots=True)
class Plan:
    """A training that fits together: what will be loaded, what will learn, on which rows."""

    recipe: TrainRecipe
    loader: ResolvedPart[LoaderSpec]
    method: ResolvedPart[MethodSpec]
    objective: ResolvedPart[ObjectiveSpec]
    base: ResolvedBase
    architecture: Architecture
    data: PreparedData
    trainable: int
    memory: MemoryEstimate

    def resolved_recipe(self) -> dict[str, Any]:
        """Return the recipe with every default and every parameter spelled out."""
        values = self.recipe.model_dump(mode="json", exclude={"loader", "method", "objective"})
        parts = {
            "loader": self.loader.as_recipe(),
            "method": self.method.as_recipe(),
            "objective": self.objective.as_recipe(),
        }
        return {**values, **parts}

    def training_rows(self, seed: int) -> TextSet:
        """Return the rows that a run with this seed trains on."""
        shots = self.recipe.data.shots
        return self.data.train if shots is None else sample_shots(self.data.train, shots, seed)


def make_plan(values: Mapping[str, Any], catalogue: Catalogue, registry: "Registry") -> Plan:
    """Validate and resolve a recipe's values.

    Raises RecipeError, UnknownNameError, BaseModelError, DataError or CapabilityError; no weight
    has been loaded by then.
    """
    # An unknown key is named before a missing part, so the recipe is validated first as it is.
    validate(TrainRecipe, {**values, **_parts_without_names_set_aside(values)})
    recipe = validate(TrainRecipe, apply_preset(values, catalogue))
    _check_names(recipe)
    assert recipe.loader is not None, "apply_preset fills all parts"
    assert recipe.method is not None
    assert recipe.objective is not None
    loader_spec = catalogue.loader(recipe.loader.name)
    method_spec = catalogue.method(recipe.method.name)
    objective_spec = catalogue.objective(recipe.objective.name)
    loader = resolve_part("loader", recipe.loader, loader_spec, catalogue)
    method = resolve_part("method", recipe.method, method_spec, catalogue)
    objective = resolve_part("objective", recipe.objective, objective_spec, catalogue)
    base = resolve_base(recipe.base, catalogue, registry)
    architecture = read_architecture(Path(base.path), base.ref)
    _check_fit(loader, method, objective, base, architecture, catalogue)
    data = prepare(recipe.data, catalogue)
    _check_rows(data.train, recipe, objective, catalogue)
    trainable = catalogue.implementation(method.spec).count_trainable(architecture, method.params)
    weights = int(architecture.parameters * loader.spec.bytes_per_parameter)
    memory = MemoryEstimate(weights, trainable * GRADIENT_AND_ADAM_BYTES)
    return Plan(recipe, loader, method, objective, base, architecture, data, trainable, memory)


def _parts_without_names_set_aside(values: Mapping[str, Any]) -> dict[str, None]:
    """Return the parts that only set parameters (``method.layers``); the preset names them."""
    parts = ("loader", "method", "objective")
    return {
        kind: None
        for kind in parts
        if isinstance(values.get(kind), Mapping) and "name" not in values[kind]
    }


def _check_names(recipe: TrainRecipe) -> None:
    from adapterhub_lite_registry import check_alias, check_name

    if recipe.publish is not None:
        check_name(recipe.publish)
    if recipe.alias is not None:
        check_alias(recipe.alias)
        if recipe.publish is None:
            raise RecipeError("'alias' needs a 'publish': an alias points to a version")


def _check_fit(
    loader: ResolvedPart[LoaderSpec],
    method: ResolvedPart[MethodSpec],
    objective: ResolvedPart[ObjectiveSpec],
    base: ResolvedBase,
    architecture: Architecture,
    catalogue: Catalogue,
) -> None:
    """Refuse what the specs say does not work together; the hint is the nearest thing that does."""
    family = architecture.family
    if family not in objective.spec.families and not (
        architecture.sentence_transformer and "encoder" in objective.spec.families
    ):
        wanted = " or ".join(sorted(objective.spec.families))
        raise CapabilityError(
            f"the objective {objective.spec.name!r} needs an {wanted}, and the base {base.ref!r} "
            f"({architecture.model_type}) is {_with_article(family)}",
            hint="use base: minilm, or any BERT-like model",
        )
    if family not in method.spec.families:
        raise CapabilityError(
            f"the method {method.spec.name!r} cannot be attached to {_with_article(family)} like "
            f"{base.ref!r}",
            hint=_nearest_method(catalogue, lambda spec: family in spec.families),
        )
    if loader.spec.quantised and not method.spec.quantised_base:
        raise CapabilityError(
            f"the method {method.spec.name!r} cannot train on a base that the loader "
            f"{loader.spec.name!r} has quantised",
            hint=_nearest_method(catalogue, lambda spec: spec.quantised_base),
        )
    problems = catalogue.implementation(method.spec).check(architecture, method.params)
    if problems:
        raise CapabilityError(f"the method {method.spec.name!r} does not fit: {problems[0]}")


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _nearest_method(catalogue: Catalogue, fits: Any) -> str:
    names = [offer.spec.name for offer in catalogue.usable("method") if fits(offer.spec)]
    return f"methods that can: {', '.join(names)}" if names else "no installed method can"


def _check_rows(
    rows: TextSet,
    recipe: TrainRecipe,
    objective: ResolvedPart[ObjectiveSpec],
    catalogue: Catalogue,
) -> None:
    if rows.multi_label and not objective.spec.multi_label:
        raise CapabilityError(
            f"the objective {objective.spec.name!r} trains on one label a row",
            hint=_multi_label_objectives(catalogue),
        )
    problems: Iterable[str] = catalogue.implementation(objective.spec).check(rows, objective.params)
    for problem in problems:
        raise DataError(f"{recipe.data.train}: {problem}", path=recipe.data.train)


def _multi_label_objectives(catalogue: Catalogue) -> str:
    specs = [offer.spec for offer in catalogue.usable("objective")]
    names = [s.name for s in specs if isinstance(s, ObjectiveSpec) and s.multi_label]
    return f"for several labels a row: {', '.join(names)}"
