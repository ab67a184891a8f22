"""Runs the plan of a merge of adapters: into a folder, or as a version of the registry."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import yaml

from adapterhub_lite.bases import resolve_base
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.fresh import fresh_folder
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.inference.loading import load_predictor
from adapterhub_lite.merging.adapters.manifest import adapter_draft, approximation
from adapterhub_lite.merging.adapters.merge import MergedAdapter, merge_factors, write_merged
from adapterhub_lite.merging.adapters.plan import AdapterPlan
from adapterhub_lite.merging.publishing import strategy_components
from adapterhub_lite.merging.results import require_name
from adapterhub_lite.reports.metadata import front_matter, hub_model, license_of
from adapterhub_lite.training.artifact import RECIPE_FILE
from adapterhub_lite.training.publish import publish_folder

if TYPE_CHECKING:
    from adapterhub_lite_registry import ManifestDraft, Registry, Version

CARD: Final = "README.md"


def run_adapter_plan(
    plan: AdapterPlan, catalogue: Catalogue, registry: "Registry", out: Path | None
) -> "tuple[MergedAdapter, Version | None]":
    """Merge adapters into ``out``, or publish the result under the recipe's name.

    Raises MergeError for what the numbers or heads tell, CapabilityError for a result that is to be
    published and is no version.
    """
    if out is not None:
        with fresh_folder(out) as folder:
            return _write(plan, folder), None
    name = require_name(plan.recipe)
    with TemporaryDirectory(prefix="adapterhub-") as work:
        folder = Path(work) / "adapter"
        merged = _write(plan, folder)
        if not merged.is_version:
            raise CapabilityError(
                f"the result is no version that could be published: {merged.notices[0]}",
                hint="write it to a folder: --out DIR",
            )
        load_predictor(str(folder), registry, catalogue)  # what is published can be loaded
        draft = _draft(plan, merged, folder, catalogue, registry)
        alias = plan.recipe.alias
        return merged, publish_folder(folder, name, draft, registry, alias)


def _write(plan: AdapterPlan, folder: Path) -> MergedAdapter:
    factors = merge_factors(
        plan.adapters, plan.applied, lambda name: plan.params[name], plan.rank, plan.settings
    )
    dtype = plan.recipe.output.dtype or "float32"
    merged = write_merged(plan.adapters, factors, folder, heads=plan.recipe.heads, dtype=dtype)
    text = yaml.safe_dump(dict(plan.values), sort_keys=False, allow_unicode=True)
    (folder / RECIPE_FILE).write_text(text, encoding="utf-8")
    (folder / CARD).write_text(_card(plan, merged, text), encoding="utf-8")
    return merged


def _card(plan: AdapterPlan, merged: MergedAdapter, recipe: str) -> str:
    spec = plan.applied.spec
    base = hub_model(plan.base.ref, plan.base.folder.name)
    front = {
        **({"base_model": base, "base_model_relation": "adapter"} if base else {}),
        "library_name": "peft",
        **license_of(plan.recipe.license),
        "tags": ["adapterhub-lite", "merge", spec.name],
    }
    models = "\n".join(f"- {adapter.label}" for adapter in plan.adapters)
    worst = max((result.error for result in merged.modules.values()), default=0.0)
    return (
        f"{front_matter(front)}\n\n# {plan.recipe.publish or 'merged-adapter'}\n\n"
        f"A LoRA adapter on {plan.base.ref}, merged by {spec.name} ({spec.formula}) from\n\n"
        f"{models}\n\nThe change of each weight is kept with a relative error of at most "
        f"{worst:.1e}.\n\n```yaml\n{recipe}```\n"
    )


def _draft(
    plan: AdapterPlan,
    merged: MergedAdapter,
    folder: Path,
    catalogue: Catalogue,
    registry: "Registry",
) -> "ManifestDraft":
    from adapterhub_lite_registry import Parent

    info = read_artifact_info(folder)
    assert info.base is not None, "an adapter has a base"
    told = {"strategies": [plan.applied.spec.name], **approximation(merged.modules)}
    parents = [model.version for model in plan.opened.values() if model.version is not None]
    return adapter_draft(
        folder,
        resolve_base(info.base.ref, catalogue, registry),
        catalogue,
        strategies=strategy_components([plan.applied.spec.name], catalogue),
        hyperparameters={"merge": told},
        parents=[Parent(digest=version.digest, role="merged") for version in parents],
        seed=plan.recipe.seed,
        recipe=dict(plan.values),
        license=plan.recipe.license,
    )
