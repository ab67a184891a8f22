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
from adapterhub_lite.data.table import RowSet, TextSet
from adapterhub_lite.errors import CapabilityError, DataError, RecipeError
from adapterhub_lite.finetuning.params import TrainerParams
from adapterhub_lite.finetuning.settings import refuse_precision, refuse_settings
from adapterhub_lite.protocols import TrainingData
from adapterhub_lite.recipes import TrainRecipe, validate
from adapterhub_lite.specs import Head, LoaderSpec, MethodSpec, ObjectiveSpec, ResolvedBase
from adapterhub_lite.training.adapters import with_found_adapters
from adapterhub_lite.training.fit import check_fit, check_learns
from adapterhub_lite.training.memory import MemoryEstimate, estimate_memory
from adapterhub_lite.training.parts import ResolvedPart, apply_preset, resolve_part
from adapterhub_lite.training.targets import TARGETS_HINT, with_known_targets

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry


@dataclass(frozen=True, slots=True)
class Plan:
    """A training that fits together: what will be loaded, what will learn, on which rows."""

    recipe: TrainRecipe
    loader: ResolvedPart[LoaderSpec]
    method: ResolvedPart[MethodSpec]
    objective: ResolvedPart[ObjectiveSpec]
    base: ResolvedBase
    architecture: Architecture
    head: Head
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

    def memory_with(self, longest: int) -> MemoryEstimate:
        """Return the memory where the longest row is known, in tokens."""
        return estimate_memory(
            self.architecture,
            self.head,
            self.loader.spec,
            self.method.spec,
            self.objective.params,
            self.trainable,
            longest,
        )

    def training_rows(self, seed: int) -> RowSet:
        """Return the rows that a run with this seed trains on."""
        shots, rows = self.recipe.data.shots, self.data.train
        if shots is None or not isinstance(rows, TextSet):
            return rows
        return sample_shots(rows, shots, seed)

    def training_data(self, seed: int) -> TrainingData:
        """Return what a run with this seed trains and validates on."""
        rows = self.training_rows(seed)
        return TrainingData(rows, self.data.validation, self.data.sources)


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
    check_fit(loader, method, objective, base, architecture, catalogue)
    aimed = with_known_targets(method, architecture, catalogue)
    hint = "" if aimed is method else TARGETS_HINT
    method = with_found_adapters(aimed, base, catalogue, registry)
    spec = objective.spec
    data = prepare(recipe.data, catalogue, rows=spec.rows, pairs=spec.pairs)
    _check_rows(data.train, recipe, objective, catalogue)
    head: Head = catalogue.implementation(spec).head(data.train, objective.params)
    implementation = catalogue.implementation(method.spec)
    for problem in implementation.check(architecture, head, method.params):
        raise CapabilityError(f"the method {method.spec.name!r} does not fit: {problem}", hint=hint)
    trainable = implementation.count_trainable(architecture, head, method.params)
    check_learns(trainable, method, objective, architecture, catalogue)
    _check_settings(recipe, loader, objective, data)
    memory = estimate_memory(
        architecture, head, loader.spec, method.spec, objective.params, trainable
    )
    return Plan(
        recipe, loader, method, objective, base, architecture, head, data, trainable, memory
    )


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


def _check_settings(
    recipe: TrainRecipe,
    loader: ResolvedPart[LoaderSpec],
    objective: ResolvedPart[ObjectiveSpec],
    data: PreparedData,
) -> None:
    """Refuse what the training loop would refuse once the base is loaded."""
    has_gpu = recipe.device != "cpu" and _has_gpu()
    if loader.spec.needs_gpu and not has_gpu:
        raise CapabilityError(
            f"the loader {loader.spec.name!r} needs a GPU, and there is none",
            hint="use loader: bf16, or fp32",
        )
    if isinstance(objective.params, TrainerParams):
        refuse_precision(objective.params, has_gpu=has_gpu)
        refuse_settings(objective.params, TrainingData(data.train, data.validation, data.sources))


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _check_rows(
    rows: RowSet,
    recipe: TrainRecipe,
    objective: ResolvedPart[ObjectiveSpec],
    catalogue: Catalogue,
) -> None:
    if isinstance(rows, TextSet) and rows.multi_label and not objective.spec.multi_label:
        raise CapabilityError(
            f"the objective {objective.spec.name!r} trains on one label a row",
            hint=_multi_label_objectives(catalogue),
        )
    problems: Iterable[str] = catalogue.implementation(objective.spec).check(rows, objective.params)
    for problem in problems:
        first = next(iter(recipe.data.training_files.values()))
        raise DataError(f"{first}: {problem}", path=first)


def _multi_label_objectives(catalogue: Catalogue) -> str:
    specs = [offer.spec for offer in catalogue.usable("objective")]
    names = [s.name for s in specs if isinstance(s, ObjectiveSpec) and s.multi_label]
    return f"for several labels a row: {', '.join(names)}"
