"""The manifest of a merged version: its recipe, and every input as a parent."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.folders import component
from adapterhub_lite.merging.plan import MergePlan
from adapterhub_lite.specs import MergeSpec
from adapterhub_lite.training.publish import INPUTS, environment

if TYPE_CHECKING:
    from adapterhub_lite_registry import Component, ManifestDraft, Parent


def draft_of(plan: MergePlan, catalogue: Catalogue) -> "ManifestDraft":
    """Return what a merge's author knows of the version that it becomes."""
    from adapterhub_lite_registry import ManifestDraft, Signature, Tensors

    dtypes: dict[str, int] = {}
    for shape in plan.shapes.values():
        dtypes[shape.dtype] = dtypes.get(shape.dtype, 0) + 1
    known: dict[str, Any] = {}
    info = plan.files.info
    if info is not None:
        spec = catalogue.objective(info.objective)
        known = {
            "task": info.task,
            "method": component("method", info.method, catalogue),
            "objective": component("objective", info.objective, catalogue),
            "loader": component("loader", info.loader, catalogue),
            "signature": Signature(inputs=INPUTS[spec.rows], labels=info.head.labels),
        }
    return ManifestDraft(
        kind="model",
        description=description_of(plan),
        strategies=strategy_components(strategies_of(plan), catalogue),
        hyperparameters={"merge": {"strategies": list[JsonValue](strategies_of(plan))}},
        seed=plan.recipe.seed,
        parents=parents_of(plan),
        recipe=dict(plan.values),
        env=environment(),
        license=plan.recipe.license,
        tensors=Tensors(count=len(plan.shapes), dtypes=dtypes, nonfinite=0),
        **known,
    )


def strategy_components(names: Iterable[str], catalogue: Catalogue) -> tuple["Component", ...]:
    """Return strategies as a manifest names them: with the distributions they came from."""
    return tuple(component("strategy", name, catalogue) for name in names)


def strategies_of(plan: MergePlan) -> list[str]:
    """Return the names of the strategies that a plan applies."""
    return sorted({spec.name for spec in specs_of(plan)})


def specs_of(plan: MergePlan) -> list[MergeSpec]:
    """Return the specs of the strategies that a plan applies, by name."""
    specs = {job.applied.spec.name: job.applied.spec for job in plan.jobs if job.applied}
    return [specs[name] for name in sorted(specs)]


def description_of(plan: MergePlan) -> str:
    """Return in a line what was merged, and how."""
    names = ", ".join(ref for ref in plan.opened)
    return f"merged by {', '.join(strategies_of(plan)) or 'copying'} from {names}"[:500]


def parents_of(plan: MergePlan) -> tuple["Parent", ...]:
    """Return the versions that were merged, and the base if it is one."""
    from adapterhub_lite_registry import Parent

    roles = {
        model.version.digest: "base" if model is plan.base else "merged"
        for model in plan.opened.values()
        if model.version
    }
    return tuple(Parent(digest=digest, role=role) for digest, role in roles.items())
