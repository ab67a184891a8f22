"""What a merge will do: everything is checked before a number is read."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.merging.data_inputs import data_files
from adapterhub_lite.merging.engine import Settings, TensorJob
from adapterhub_lite.merging.extraction.plan import LoraOutput, plan_lora
from adapterhub_lite.merging.folder.files import FolderFiles, plan_folder_files
from adapterhub_lite.merging.inputs import Inputs
from adapterhub_lite.merging.opening import Opened
from adapterhub_lite.merging.planner import Planner
from adapterhub_lite.recipes.merge import MergeRecipe
from adapterhub_lite.streaming.factors import RankChoice
from adapterhub_lite.streaming.headers import TensorShape


@dataclass(frozen=True, slots=True, kw_only=True)
class MergePlan:
    """What a merge will do.

    ``values`` is the recipe as it was given, ``shapes`` the tensors that are written and ``files``
    all else, ``opened`` the models by what the recipe calls them, ``base`` the one that differences
    are taken from. ``lora`` says how the result becomes an adapter; None: it is written whole.
    ``digest`` names the merge: the same recipe on the same files.
    """

    recipe: MergeRecipe
    values: Mapping[str, Any]
    jobs: Sequence[TensorJob]
    shapes: Mapping[str, TensorShape]
    files: FolderFiles
    opened: Mapping[str, Opened]
    base: Opened | None
    lora: LoraOutput | None
    notices: Sequence[str]
    settings: Settings
    digest: str


def make_merge_plan(
    recipe: MergeRecipe,
    values: Mapping[str, Any],
    catalogue: Catalogue,
    inputs: Inputs,
    settings: Settings,
    choice: RankChoice | None = None,
) -> MergePlan:
    """Check strategies and parameters, and draft every tensor of the output.

    With a ``choice`` the output is an adapter of that rank, else a whole model. Raises UserError
    for what cannot be merged as asked.
    """
    planner = Planner(recipe, catalogue, inputs, settings)
    jobs = planner.output_jobs()
    files = plan_folder_files(
        inputs.models,
        inputs.base,
        inputs.vocabulary,
        heads=recipe.heads,
        chat_template=recipe.chat_template,
        dtype=recipe.output.dtype,
        layers=planner.layers,
        tied=inputs.config.get("tie_word_embeddings"),
    )
    inputs.tell(files.notes)
    return MergePlan(
        recipe=recipe,
        values=values,
        jobs=jobs,
        shapes={job.name: job.output for job in jobs},
        files=files,
        opened=inputs.opened,
        base=inputs.base,
        lora=plan_lora(recipe, jobs, inputs, files, choice, settings)
        if choice is not None
        else None,
        notices=inputs.notices,
        settings=settings,
        digest=merge_digest(values, inputs.opened, settings, data_files(recipe)),
    )


def merge_digest(
    values: Mapping[str, Any],
    opened: Mapping[str, Opened],
    settings: Settings,
    data: Sequence[Path] = (),
) -> str:
    """Name a merge by its recipe and its inputs: version digests, or sizes and times of files."""
    said = {
        "recipe": values,
        "inputs": {ref: _identity(model) for ref, model in sorted(opened.items())},
        "data": [_stamp(file) for file in data],
        "device": settings.device,
    }
    text = json.dumps(said, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _identity(model: Opened) -> Any:
    if model.version is not None:
        return model.version.digest
    folders = [model.folder, *([model.adapter] if model.adapter else [])]
    files = [file for folder in folders for file in sorted(folder.iterdir()) if file.is_file()]
    return [_stamp(file) for file in files]


def _stamp(file: Path) -> tuple[str, int, int]:
    known = file.stat()
    return file.name, known.st_size, known.st_mtime_ns
