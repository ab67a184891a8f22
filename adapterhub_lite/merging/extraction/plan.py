"""A merge whose result is to be a LoRA adapter on the base, though it is no sum of factors."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from adapterhub_lite.errors import CapabilityError, RecipeError
from adapterhub_lite.heads import TASK_TYPES
from adapterhub_lite.merging.alignment.names import BUFFERS
from adapterhub_lite.merging.engine import Settings, TensorJob
from adapterhub_lite.merging.extraction.extract import Pairing, pair_models
from adapterhub_lite.merging.extraction.module_kinds import bare_kinds, told_by
from adapterhub_lite.merging.extraction.task_types import task_type_of
from adapterhub_lite.merging.folder.files import FolderFiles
from adapterhub_lite.merging.inputs import Inputs
from adapterhub_lite.merging.opening import Opened
from adapterhub_lite.merging.stages import MergedSource
from adapterhub_lite.recipes.merge import MergeOutput, MergeRecipe
from adapterhub_lite.streaming.adapters.files import read_adapter_files
from adapterhub_lite.streaming.factors import RankChoice
from adapterhub_lite.streaming.naming import role_of
from adapterhub_lite.streaming.prefixes import Prefix, find_prefix
from adapterhub_lite.streaming.sources import Source
from adapterhub_lite.streaming.tensors import Origin
from adapterhub_lite.streaming.views import View

RESULT = "the merged model"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraOutput:
    """How a merged model becomes an adapter on ``base``.

    ``merged`` gives its tensors, computed when they are read, by their names in the model that the
    adapter is loaded onto; ``paired`` has them beside those of the base. ``task_type`` is what PEFT
    calls the task.
    """

    choice: RankChoice
    base: Opened
    merged: Source
    paired: Pairing
    task_type: str | None


def plan_lora(
    recipe: MergeRecipe,
    jobs: Sequence[TensorJob],
    inputs: Inputs,
    files: FolderFiles,
    choice: RankChoice,
    settings: Settings,
) -> LoraOutput:
    """Check that the result of ``jobs`` can be a change of the base, as far as headers tell.

    Raises RecipeError without a base, CapabilityError for tensors that an adapter cannot hold,
    MergeError for other shapes.
    """
    under = _require_base(recipe, inputs.base)
    merged = MergedSource(jobs, settings, RESULT)
    kinds = bare_kinds(under.folder)
    task_type, prefix = _onto(files, inputs.models, merged, kinds)
    names = {prefix.renamed(job.name, kinds): job for job in jobs}
    view = View(RESULT, {name: Origin(merged, job.name) for name, job in names.items()})
    heads = {n for n, job in names.items() if job.applied is None and role_of(n) == "head"}
    paired = pair_models(view, under.source, told_by(kinds), heads)
    _require_same_layers(paired, under)
    return LoraOutput(choice=choice, base=under, merged=view, paired=paired, task_type=task_type)


def _onto(
    files: FolderFiles, models: Sequence[Opened], merged: Source, bare: Collection[str]
) -> tuple[str | None, Prefix]:
    """Return PEFT's name of the task, and how names change for the class that it loads.

    Without a head that is the transformer alone, whose parts have no prefix.
    """
    told = task_type_of(files.info, files.config)
    if told != TASK_TYPES["none"]:
        return told, Prefix()
    prefix = find_prefix(merged.tensors.keys(), bare)
    heads = [name for name in merged.tensors if role_of(name) == "head"]
    if all(prefix.renamed(name, bare) in bare for name in heads):
        return told, prefix
    # the base's config knows of no head: adapters that brought one tell their task themselves
    adapters = [read_adapter_files(m.adapter, m.ref) for m in models if m.adapter is not None]
    tasks = {files.text("task_type", "") for files in adapters}
    return (tasks.pop() or None) if len(tasks) == 1 else None, Prefix()


def _require_base(recipe: MergeRecipe, base: Opened | None) -> Opened:
    if base is None:
        what = "a stage, which is never written" if recipe.base else "none"
        raise RecipeError(
            f"an adapter rests on a base, and that of the recipe is {what}",
            field="base",
            hint="name the whole model that all were trained from: base: REF",
        )
    if base.adapter is not None:
        raise CapabilityError(
            f"the base {base.ref} is an adapter itself, and an adapter rests on a whole model",
            hint=f"bake it first: ahl bake {base.ref} --into NAME",
        )
    return base


def choice_of(output: MergeOutput, reason: str) -> RankChoice:
    """Return the rank that is asked for; ``reason`` says why the change is no sum of factors.

    Raises RecipeError for none, and for the exact one.
    """
    if output.rank == "exact" or (output.rank is None and output.energy is None):
        said = "its exact rank is as a rule the full one" if output.rank else "it has no rank yet"
        raise RecipeError(
            f"{reason}: the merged change is dense, and {said}",
            field="output.rank",
            hint="output: {kind: adapter, rank: 32} bounds its size, energy: 0.95 its loss",
        )
    return RankChoice(rank=output.rank, energy=output.energy)


def _require_same_layers(paired: Pairing, base: Opened) -> None:
    """Refuse tensors that the base lacks, but for heads, and layers of it that are not there."""
    new = [name for name in paired.new if role_of(name) != "head"]
    gone = [n for n in paired.missing if role_of(n) == "layer" and not BUFFERS.search(n)]
    for names, lacking, having in ((new, base.ref, RESULT), (gone, RESULT, base.ref)):
        if names:
            raise CapabilityError(
                f"{lacking} lacks {names[0]!r}, which {having} has: that is no change of the base",
                hint="merge into a model: leave output.kind out",
            )
