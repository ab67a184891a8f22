"""A merge whose result is an adapter: planned and run without the base's weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import CapabilityError, RecipeError
from adapterhub_lite.merging.adapters.files import LoraFolder, read_lora_folder
from adapterhub_lite.merging.adapters.merge import module_kinds
from adapterhub_lite.merging.engine import Applied, Settings
from adapterhub_lite.merging.inputs import Inputs
from adapterhub_lite.merging.memory import check_inputs
from adapterhub_lite.merging.opening import Opened
from adapterhub_lite.merging.parameters import Parameters, Resolved
from adapterhub_lite.merging.plan import merge_digest
from adapterhub_lite.merging.values import Place, Rules
from adapterhub_lite.recipes.merge import MergeRecipe
from adapterhub_lite.streaming.factors import RankChoice
from adapterhub_lite.streaming.naming import layers_of, role_of

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry


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
        asked = self.recipe.output.rank
        if asked is None:
            return None
        return RankChoice(rank=None if asked == "exact" else asked)


def make_adapter_plan(
    recipe: MergeRecipe,
    values: Mapping[str, Any],
    catalogue: Catalogue,
    registry: "Registry",
    settings: Settings,
) -> AdapterPlan:
    """Open the adapters of a recipe, and check the strategy and its parameters for each module.

    Raises CapabilityError for inputs that are whole models, RecipeError for what only a whole model
    can have.
    """
    _refuse_model_parts(recipe)
    inputs = Inputs(recipe, catalogue, registry)
    whole = [model.ref for model in inputs.models if model.adapter is None]
    if whole or inputs.base is None:
        raise CapabilityError(
            f"{whole[0] if whole else 'the models'} is no adapter, and the output is to be one",
            hint="merge into a model (leave output.kind out), then: ahl extract-lora",
        )
    if recipe.strategy is None:
        raise RecipeError("'strategy' is missing", field="strategy", hint="ahl strategies list")
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


def _refuse_model_parts(recipe: MergeRecipe) -> None:
    for field in ("slices", "modules", "stages", "layer_scaling", "tokenizer", "chat_template"):
        if getattr(recipe, field):
            raise RecipeError(
                f"{field!r} makes a whole model, and the output is to be an adapter", field=field
            )
    if any(entry.data for entry in recipe.models):
        raise RecipeError("data makes a whole model, and the output is an adapter", field="models")
    if any(entry.stage for entry in recipe.models):
        raise RecipeError("an adapter is not made of stages", field="models")
