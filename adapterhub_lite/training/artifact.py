"""Write what a run made into a folder: model, scorer, card, report, recipe."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite.bases import fingerprint
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import StorageError
from adapterhub_lite.inference.artifact import ArtifactInfo, NeededBase, write_artifact_info
from adapterhub_lite.inference.origins import origins_of
from adapterhub_lite.protocols import Attached, Outcome
from adapterhub_lite.reports import write_card, write_report

if TYPE_CHECKING:
    from adapterhub_lite.training.plan import Plan
    from adapterhub_lite.training.results import SeedResult

REPORT_FILE = "report.html"
RECIPE_FILE = "recipe.yml"


def write_artifact(
    folder: Path,
    plan: "Plan",
    attached: Attached,
    outcome: Outcome,
    best: "SeedResult",
    seeds: "Sequence[SeedResult]",
    catalogue: Catalogue,
    events: Path,
) -> Path:
    """Fill ``folder`` with everything a version consists of; return the report's path.

    Raises StorageError, or OSError, when the disk refuses.
    """
    import yaml
    from safetensors import SafetensorError

    folder.mkdir(parents=True)
    try:
        catalogue.implementation(plan.method.spec).save(attached, folder)
        catalogue.implementation(plan.objective.spec).save(outcome, folder)
    except SafetensorError as error:  # the library's own wrapping of an OSError
        raise StorageError(
            f"the weights cannot be written: {error}",
            hint="free some space, or choose another place with --home; nothing was published",
        ) from error
    info = _info(plan)
    write_artifact_info(folder, replace(info, origins=origins_of(info, catalogue)))
    recipe = yaml.safe_dump(plan.resolved_recipe(), sort_keys=False, allow_unicode=True)
    (folder / RECIPE_FILE).write_text(recipe, encoding="utf-8")
    write_card(folder / "README.md", plan, best, seeds)
    report = folder / REPORT_FILE
    write_report(report, plan, best, seeds, events, catalogue)
    return report


def _info(plan: "Plan") -> ArtifactInfo:
    needs_base = plan.method.spec.needs_base
    return ArtifactInfo(
        task=plan.objective.spec.task,
        method=plan.method.spec.name,
        objective=plan.objective.spec.name,
        loader=plan.loader.spec.name,
        loader_params=plan.loader.params.model_dump(mode="json"),
        head=plan.head,
        base=NeededBase(ref=plan.base.ref, fingerprint=fingerprint(plan.base))
        if needs_base
        else None,
    )
