"""Data in a merge's recipe: on every model of a strategy that needs it, and nowhere else."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import CapabilityError, RecipeError
from adapterhub_lite.merging.engine import Applied, TensorJob
from adapterhub_lite.merging.inputs import Inputs
from adapterhub_lite.merging.subjects import Subject, make_subject
from adapterhub_lite.recipes.merge import Merged, MergeInput, MergeRecipe


def with_subjects(
    applied: Applied,
    entries: Sequence[MergeInput],
    inputs: Inputs,
    catalogue: Catalogue,
    where: str,
) -> Applied:
    """Return a strategy with what it computes with; rows are read, and no weight is loaded.

    Raises RecipeError for a model without `data`, CapabilityError for one that cannot be computed
    with, DataError for rows that cannot be read.
    """
    subjects = [
        _subject(entry, inputs, catalogue, f"{where}models.{number}", applied.spec.name)
        for number, entry in enumerate(entries)
    ]
    strategy: Any = applied.strategy
    if reasons := strategy.check_subjects(subjects):
        raise CapabilityError(f"{applied.spec.name} cannot merge so: {reasons[0]}")
    return replace(applied, subjects=tuple(subjects))


def _subject(
    entry: MergeInput, inputs: Inputs, catalogue: Catalogue, where: str, strategy: str
) -> Subject:
    if entry.data is None:
        raise RecipeError(
            f"'{where}.data' is missing: {strategy} needs rows of every model",
            field=f"{where}.data",
            hint="{ref: …, data: {train: rows.csv}}",
        )
    if entry.ref is None:
        raise CapabilityError(
            f"{strategy} cannot compute with the stage {entry.stage!r}: it is never a whole model",
            hint="write the stage's result as a version first, and merge that",
        )
    return make_subject(inputs.open(entry.ref), entry.data, catalogue, where)


def refuse_data_in_slices(applied: Applied, entries: Sequence[MergeInput], where: str) -> None:
    """Refuse data, or a strategy that needs it, for a part of the layers."""
    if any(entry.data for entry in entries) or "needs-data" in applied.spec.capabilities:
        raise CapabilityError(
            f"'{where}': layers alone answer no rows, so that data says nothing of a slice",
            hint="merge whole models, or take a strategy without data",
        )


def require_one_setting(applied: Applied, jobs: Sequence[TensorJob]) -> None:
    """Refuse parameters by part for a strategy that computes with data: it does so once.

    What belongs to a model, like its weight, may differ by part.
    """
    if "needs-data" not in applied.spec.capabilities:
        return
    own = [job.params for job in jobs if job.applied is applied]
    if any(params != own[0] for params in own):
        raise RecipeError(
            f"{applied.spec.name} takes one value of each of its parameters, not one by part",
            field="strategy",
        )


def data_files(recipe: MergeRecipe) -> list[Path]:
    """Return the files of rows that a recipe's models compute with."""
    merges: list[Merged] = [recipe, *recipe.modules.values(), *recipe.stages.values()]
    return [file for merged in merges for file in _files(merged)]


def _files(merged: Merged) -> Iterator[Path]:
    for entry in merged.models:
        for file in entry.data.training_files.values() if entry.data else ():
            yield Path(file).expanduser()
