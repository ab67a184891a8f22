"""From a recipe to the jobs of a merge: one for each tensor of the output."""

from collections.abc import Sequence
from typing import Any, Final

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import CapabilityError, RecipeError
from adapterhub_lite.merging.alignment.align import Member
from adapterhub_lite.merging.data_inputs import (
    refuse_data_in_slices,
    require_one_setting,
    with_subjects,
)
from adapterhub_lite.merging.engine import Applied, Settings, TensorJob
from adapterhub_lite.merging.inputs import Inputs
from adapterhub_lite.merging.layer_scaling import layer_factor
from adapterhub_lite.merging.memory import check_inputs, require_equal
from adapterhub_lite.merging.parameters import Level, Parameters
from adapterhub_lite.merging.pieces import (
    Cut,
    Draft,
    Piece,
    equal_counts,
    sliced_drafts,
    under_prefix,
    whole_drafts,
)
from adapterhub_lite.merging.stages import MergedSource
from adapterhub_lite.merging.values import Rules
from adapterhub_lite.recipes.merge import LayerScaling, Merged, MergeInput, MergeRecipe, MergeSlice
from adapterhub_lite.recipes.train import PartChoice
from adapterhub_lite.streaming.headers import FLOATS, TensorShape
from adapterhub_lite.streaming.naming import role_of
from adapterhub_lite.streaming.tensors import Origin

DTYPES: Final = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
"""A recipe's name of a dtype → that of safetensors."""


class Planner:
    """Drafts every tensor of a recipe's output and resolves its parameters."""

    def __init__(
        self, recipe: MergeRecipe, catalogue: Catalogue, inputs: Inputs, settings: Settings
    ) -> None:
        self._recipe, self._catalogue, self._settings = recipe, catalogue, settings
        self._inputs = inputs
        self.layers: list[int] | None = None
        """With slices: the numbers of the first model's layers that the output's are made of."""
        self._rules = Rules()
        self._stages: dict[str, MergedSource] = {}

    def output_jobs(self) -> list[TensorJob]:
        """Return the jobs of all tensors of the output."""
        recipe = self._recipe
        dtype = recipe.output.dtype
        jobs = self._module_jobs() if recipe.modules else self._jobs(recipe, "", dtype)
        self._inputs.tell(self._rules.refuse_unused())
        return jobs

    def _module_jobs(self) -> list[TensorJob]:
        """Merge each module by its own section, and copy what is in none from the base."""
        dtype = self._recipe.output.dtype
        jobs: dict[str, TensorJob] = {}
        for prefix, section in self._recipe.modules.items():
            where = f"modules.{prefix}."
            inherited = _inherit(section, self._recipe)
            for piece in self._pieces(inherited, where):
                own = under_prefix(piece.drafts, prefix)
                if not own:
                    raise RecipeError(f"{where[:-1]!r}: no tensor's name begins with {prefix}.")
                made = [self._job(draft, piece, inherited, dtype) for draft in own]
                require_one_setting(piece.applied, made)
                jobs |= {job.name: job for job in made}
        reference = self._inputs.source(self._inputs.base or self._inputs.models[0])
        rest = reference.tensors.keys() - jobs.keys()
        jobs |= {name: _copy(Origin(reference, name), name, dtype) for name in rest}
        return [jobs[name] for name in sorted(jobs)]

    def _jobs(self, merged: Merged, where: str, dtype: str | None) -> list[TensorJob]:
        jobs = []
        for piece in self._pieces(merged, where):
            made = [self._job(draft, piece, merged, dtype) for draft in piece.drafts]
            require_one_setting(piece.applied, made)
            jobs += made
        return sorted(jobs, key=lambda job: job.name)

    def _job(self, draft: Draft, piece: Piece, merged: Merged, dtype: str | None) -> TensorJob:
        everywhere = [*([draft.base] if draft.base else []), *draft.origins]
        if draft.copied:
            return _copy(draft.origins[0], draft.name, dtype)
        if draft.shape.dtype not in FLOATS:
            require_equal(draft.name, everywhere)
            return _copy(draft.origins[0], draft.name, None)
        params, each = piece.parameters.at(draft.place)
        base = draft.base if piece.applied.spec.base != "unused" else None
        if merged.layer_scaling and base is None:
            raise RecipeError(
                f"layer_scaling needs a base, of which {piece.applied.spec.name} makes no use",
                field="layer_scaling",
            )
        return TensorJob(
            name=draft.name,
            output=TensorShape(DTYPES[dtype] if dtype else draft.shape.dtype, draft.shape.shape),
            applied=piece.applied,
            params=params,
            model_params=each,
            base=base,
            origins=draft.origins,
            layer=draft.layer,
            delta_scale=_delta_scale(merged.layer_scaling, draft),
        )

    def _pieces(self, merged: Merged, where: str) -> list[Piece]:
        if merged.slices:
            return self._sliced(merged, where)
        if not merged.models:
            raise RecipeError(f"'{where}models' is missing", field=f"{where}models")
        applied, level = self._applied(merged.strategy, f"{where}strategy")
        base = self._base(merged)
        has_data = any(entry.data for entry in merged.models)
        _check(applied, len(merged.models), base is not None, has_data)
        if has_data:
            applied = with_subjects(applied, merged.models, self._inputs, self._catalogue, where)
        each = [(f"{where}models.{n}", entry.params) for n, entry in enumerate(merged.models)]
        parameters = Parameters(applied, [level], each, self._rules)
        members = [self._member(entry) for entry in merged.models]
        aligned = self._inputs.aligned(base, members, merged.models)
        return [Piece(applied=applied, parameters=parameters, drafts=whole_drafts(aligned))]

    def _sliced(self, merged: Merged, where: str) -> list[Piece]:
        cuts = []
        for number, entry in enumerate(merged.slices):
            cuts.append(self._cut(entry, merged, f"{where}slices.{number}"))
        drafted = sliced_drafts(cuts)
        if not where:
            self.layers = [cut.firsts[0] + number for cut in cuts for number in range(cut.count)]
        return [
            self._slice_piece(entry, merged, f"{where}slices.{number}", drafts, where)
            for number, (entry, drafts) in enumerate(zip(merged.slices, drafted, strict=True))
        ]

    def _cut(self, entry: MergeSlice, merged: Merged, where: str) -> Cut:
        count = equal_counts([model.layers for model in entry.models], where)
        base = self._named(entry.base) if entry.base else self._base(merged)
        return Cut(
            sources=[self._member(model).source for model in entry.models],
            base=base.source if base else None,
            firsts=[model.layers[0] for model in entry.models if model.layers],
            count=count,
        )

    def _slice_piece(
        self, entry: MergeSlice, merged: Merged, where: str, drafts: Sequence[Draft], above: str
    ) -> Piece:
        part = entry.strategy or merged.strategy
        own = f"{where}.strategy" if entry.strategy else f"{above}strategy"
        applied, level = self._applied(part, own)
        base = bool(drafts and drafts[0].base)
        refuse_data_in_slices(applied, entry.models, where)
        _check(applied, len(entry.models), base)
        each = [(f"{where}.models.{n}", model.params) for n, model in enumerate(entry.models)]
        shared = [(f"{where}.params", entry.params), level]
        parameters = Parameters(applied, shared, each, self._rules)
        return Piece(applied=applied, parameters=parameters, drafts=drafts)

    def _applied(self, part: PartChoice | None, where: str) -> tuple[Applied, Level]:
        if part is None:
            raise RecipeError(f"{where!r} is missing", field=where, hint="see: ahl strategies list")
        spec = self._catalogue.strategy(part.name)
        if "low-rank" in spec.capabilities:
            raise CapabilityError(
                f"{spec.name} merges adapters into an adapter",
                hint="with adapters alone, say output: {kind: adapter}; or take linear, ties, …",
            )
        return Applied(spec, self._catalogue.implementation(spec)), (where, part.params)

    def _base(self, merged: Merged) -> Member | None:
        """Return the base that a merge names, else the recipe's: a model, or a stage's result."""
        inherited = self._recipe.base
        if inherited in self._recipe.stages and merged in self._recipe.stages.values():
            inherited = None  # a stage does not rest on a stage unless it says so
        if name := merged.base or inherited:
            return self._named(name)
        common = self._inputs.base_of(merged)
        return self._inputs.member(common) if common else None

    def _named(self, name: str) -> Member:
        if name in self._recipe.stages:
            return Member(self._stage(name))
        return self._inputs.member(self._inputs.open(name))

    def _member(self, entry: MergeInput) -> Member:
        if entry.stage is not None:
            return Member(self._stage(entry.stage))
        assert entry.ref is not None, "the recipe's own check"
        return self._inputs.member(self._inputs.open(entry.ref))

    def _stage(self, name: str) -> MergedSource:
        if name not in self._stages:
            jobs = self._jobs(self._recipe.stages[name], f"stages.{name}.", None)
            self._stages[name] = MergedSource(jobs, self._settings, f"stage {name}")
        return self._stages[name]


def _check(applied: Applied, models: int, has_base: bool, has_data: bool = False) -> None:
    """Refuse a number of models that the strategy does not take, a base or data that is missing.

    A base that it makes no use of is still the one whose names, config and tokenizer count.
    """
    used = has_base and applied.spec.base != "unused"
    check_inputs(applied.spec, models, has_base=used, has_data=has_data)


def _inherit(section: Merged, recipe: MergeRecipe) -> Merged:
    """Return a module's section with the recipe's models and strategy where it has none."""
    changes: dict[str, Any] = {}
    if section.strategy is None:
        changes["strategy"] = recipe.strategy
    if not section.models and not section.slices:
        changes["models"] = recipe.models
    return section.model_copy(update=changes)


def _copy(origin: Origin, name: str, dtype: str | None) -> TensorJob:
    shape = origin.source.tensors[origin.name]
    if dtype and shape.dtype in FLOATS:
        shape = TensorShape(DTYPES[dtype], shape.shape)
    return TensorJob(name=name, output=shape, applied=None, origins=(origin,))


def _delta_scale(scaling: LayerScaling | None, draft: Draft) -> float:
    if scaling is None:
        return 1.0
    return layer_factor(draft.layer, role_of(draft.name), scaling.alpha, scaling.beta)
