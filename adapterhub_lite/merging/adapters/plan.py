"""A merge whose result is an adapter: planned and run without the base's weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.merging.adapters.files import LoraFolder, read_lora_folder, why_no_factors
from adapterhub_lite.merging.adapters.merge import module_kinds
from adapterhub_lite.merging.engine import Applied, Settings
from adapterhub_lite.merging.inputs import Inputs
from adapterhub_lite.merging.memory import check_inputs
from adapterhub_lite.merging.opening import Opened
from adapterhub_lite.merging.parameters import Parameters, Resolved
from adapterhub_lite.merging.plan import merge_digest
from adapterhub_lite.merging.values import Place, Rules
from adapterhub_lite.recipes.merge import MergeRecipe
from adapterhub_lite.streaming.adapters.files import read_adapter_files
from adapterhub_lite.streaming.factors import RankChoice
from adapterhub_lite.streaming.naming import layers_of, role_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterPlan:
    """What a merge of adapters will do.

    ``params`` are the strategy's and each adapter's, by the name of a weight; the other fields are
    as in :class:`~adapterhub_lite.merging.plan.MergePlan`.
    """

    recipe: MergeRecipe
    values: Mapping[str, Any]
    opened: Mapping[str, Opened]
    base: Opened
    adapters: Sequence[LoraFolder]
    applied: Applied
    params: Mapping[str, Resolved]
    notices: Sequence[str]
    settings: Settings
    digest: str

    @property
    def rank(self) -> RankChoice | None:
        """The rank asked for; None leaves it to the strategy, or to the largest of the inputs."""
        output = self.recipe.output
        if output.rank is None and output.energy is None:
            return None
        rank = None if output.rank == "exact" else output.rank
        return RankChoice(rank=rank, energy=output.energy)


def why_dense(recipe: MergeRecipe, catalogue: Catalogue, inputs: Inputs) -> str | None:
    """Return why a recipe's result is no sum of its adapters' factors; None where it is one.

    Raises CapabilityError for a strategy of factors that is given anything else.
    """
    if recipe.strategy is None:
        return "the recipe has no strategy of its own"
    spec = catalogue.strategy(recipe.strategy.name)
    reason = _whole_parts(recipe) or _whole_inputs(inputs)
    if reason is not None and "low-rank" in spec.capabilities:
        raise CapabilityError(
            f"{spec.name} merges the factors of LoRA adapters alone, and {reason}",
            hint="take task_arithmetic, ties, …: they merge models and adapters of any kind",
        )
    if reason is None and not {"low-rank", "delta"} & set(spec.capabilities):
        return f"{spec.name} merges whole weights, not updates of them"
    return reason


def _whole_parts(recipe: MergeRecipe) -> str | None:
    """Say which part of a recipe needs whole models."""
    fields = ("slices", "modules", "stages", "layer_scaling", "tokenizer", "chat_template")
    if used := [field for field in fields if getattr(recipe, field)]:
        return f"{used[0]!r} is of whole models"
    data = any(entry.data for entry in recipe.models)
    return "data is computed with on whole models" if data else None


def _whole_inputs(inputs: Inputs) -> str | None:
    for model in inputs.models:
        if model.adapter is None:
            return f"{model.ref} is a whole model"
        if reason := why_no_factors(read_adapter_files(model.adapter, model.ref)):
            return reason
    return None if inputs.base else "the adapters have no base in common"


def make_adapter_plan(
    recipe: MergeRecipe,
    values: Mapping[str, Any],
    catalogue: Catalogue,
    inputs: Inputs,
    settings: Settings,
) -> AdapterPlan:
    """Read the adapters of a recipe, and check the strategy and its parameters for each module.

    For a recipe that :func:`why_dense` finds nothing in. Raises CapabilityError for adapters that
    cannot be merged so, RecipeError for parameters.
    """
    assert recipe.strategy is not None, "looked at before"
    assert inputs.base is not None, "looked at before"
    spec = catalogue.strategy(recipe.strategy.name)
    check_inputs(spec, len(recipe.models), has_base=spec.base != "unused")
    applied = Applied(spec, catalogue.implementation(spec))
    adapters = [
        read_lora_folder(model.adapter, model.ref)
        for model in (inputs.open(str(entry.ref)) for entry in recipe.models)
        if model.adapter is not None
    ]
    rules = Rules()
    each = [(f"models.{number}", entry.params) for number, entry in enumerate(recipe.models)]
    parameters = Parameters(applied, [("strategy", recipe.strategy.params)], each, rules)
    params = _params(parameters, adapters)
    rules.refuse_unused()
    return AdapterPlan(
        recipe=recipe,
        values=values,
        opened=inputs.opened,
        base=inputs.base,
        adapters=adapters,
        applied=applied,
        params=params,
        notices=inputs.notices,
        settings=settings,
        digest=merge_digest(values, inputs.opened, settings),
    )


def _params(parameters: Parameters, adapters: Sequence[LoraFolder]) -> dict[str, Resolved]:
    names = [f"{module}.weight" for module in module_kinds(adapters)]
    layers = layers_of(names)
    depths = {name: layers[name].depth if name in layers else None for name in names}
    return {name: parameters.at(Place(name, role_of(name), depths[name])) for name in names}
