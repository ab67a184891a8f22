"""Runs the plan of a merge of adapters: into a folder, or as a version of the registry."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import yaml

from adapterhub_lite.bases import resolve_base
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.folders import component, manifest_base
from adapterhub_lite.deployment.fresh import fresh_folder
from adapterhub_lite.errors import CapabilityError, UserError
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.inference.loading import load_predictor
from adapterhub_lite.merging.adapters.merge import MergedAdapter, merge_factors, write_merged
from adapterhub_lite.merging.adapters.plan import AdapterPlan
from adapterhub_lite.training.artifact import RECIPE_FILE
from adapterhub_lite.training.publish import INPUTS, environment, publish_folder, tensor_count

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
    if plan.recipe.publish is None:
        raise UserError(
            "the result has no place to go", hint="give a folder (--out) or a name (--name)"
        )
    with TemporaryDirectory(prefix="adapterhub-") as work:
        folder = Path(work) / "adapter"
        merged = _write(plan, folder)
        if not merged.is_version:
            raise CapabilityError(
                f"the result is no version that could be published: {merged.notices[0]}",
                hint="write it to a folder: --out DIR",
            )
        load_predictor(str(folder), registry, catalogue)  # what is published can be loaded
        draft = _draft(plan, folder, catalogue, registry)
        alias = plan.recipe.alias
        return merged, publish_folder(folder, plan.recipe.publish, draft, registry, alias)


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
    front = {
        "base_model": plan.base.ref,
        "library_name": "peft",
        "tags": ["adapterhub-lite", "merge", spec.name],
    }
    if plan.recipe.license:
        front["license"] = plan.recipe.license
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    models = "\n".join(f"- {adapter.label}" for adapter in plan.adapters)
    worst = max((result.error for result in merged.modules.values()), default=0.0)
    return (
        f"---\n{head}---\n\n# {plan.recipe.publish or 'merged-adapter'}\n\n"
        f"A LoRA adapter on {plan.base.ref}, merged by {spec.name} ({spec.formula}) from\n\n"
        f"{models}\n\nThe change of each weight is kept with a relative error of at most "
        f"{worst:.1e}.\n\n```yaml\n{recipe}```\n"
    )


def _draft(
    plan: AdapterPlan, folder: Path, catalogue: Catalogue, registry: "Registry"
) -> "ManifestDraft":
    from adapterhub_lite_registry import ManifestDraft, Parent, Signature

    info = read_artifact_info(folder)
    assert info.base is not None, "an adapter has a base"
    base = resolve_base(info.base.ref, catalogue, registry)
    told: dict[str, Any] = {"strategies": [plan.applied.spec.name]}
    parents = [model.version for model in plan.opened.values() if model.version is not None]
    return ManifestDraft(
        kind="adapter",
        task=info.task,
        base=manifest_base(base),
        method=component("method", info.method, catalogue),
        objective=component("objective", info.objective, catalogue),
        loader=component("loader", info.loader, catalogue),
        hyperparameters={"merge": told},
        seed=plan.recipe.seed,
        parents=tuple(Parent(digest=version.digest, role="merged") for version in parents),
        recipe=dict(plan.values),
        env=environment(),
        license=plan.recipe.license,
        signature=Signature(
            inputs=INPUTS[catalogue.objective(info.objective).rows], labels=info.head.labels
        ),
        tensors=tensor_count(folder),
    )
