"""Everything of a merged model's folder that is not its weights, with its card."""

from pathlib import Path

import yaml

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.merging.folder.card import MergeCard, write_card
from adapterhub_lite.merging.folder.files import write_folder_files
from adapterhub_lite.merging.plan import MergePlan
from adapterhub_lite.merging.publishing import specs_of
from adapterhub_lite.training.artifact import RECIPE_FILE


def write_folder(
    folder: Path, plan: MergePlan, catalogue: Catalogue, *, approximation: str | None = None
) -> None:
    """Write config, tokenizer, the task's files, recipe and card beside the weights.

    ``approximation`` says of an adapter how well it keeps the merged change.
    """
    write_folder_files(folder, plan.files)
    text = yaml.safe_dump(dict(plan.values), sort_keys=False, allow_unicode=True)
    (folder / RECIPE_FILE).write_text(text, encoding="utf-8")
    info = plan.files.info
    card = MergeCard(
        recipe=plan.recipe,
        values=plan.values,
        opened=plan.opened,
        base=plan.base,
        strategies=specs_of(plan),
        files=plan.files,
        rows=catalogue.objective(info.objective).rows if info else None,
        notices=plan.notices,
        approximation=approximation,
    )
    write_card(folder, card)
