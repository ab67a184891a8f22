"""Publish a run's folder as an immutable version with its manifest."""

import platform
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.architecture import read_headers, weight_files
from adapterhub_lite.bases import fingerprint
from adapterhub_lite.errors import NonFiniteError
from adapterhub_lite.evaluation import Evaluation

if TYPE_CHECKING:
    from adapterhub_lite.training.parts import ResolvedPart
    from adapterhub_lite.training.plan import Plan
    from adapterhub_lite.training.results import SeedResult
    from adapterhub_lite_registry import Component, ManifestDraft, Metric, Registry, Version

ENVIRONMENT = ("torch", "transformers", "safetensors", "scikit-learn", "numpy", "adapterhub-lite")
ROLES = {
    ".safetensors": "weights",
    "report.html": "report",
    "README.md": "card",
    "recipe.yml": "recipe",
    "head.json": "head",
    "head.safetensors": "head",
}


def publish(folder: Path, plan: "Plan", best: "SeedResult", registry: "Registry") -> "Version":
    """Publish every file of ``folder`` under the recipe's name; the alias moves last."""
    assert plan.recipe.publish is not None, "only a recipe with a name is published"
    return publish_folder(
        folder, plan.recipe.publish, _draft(folder, plan, best), registry, plan.recipe.alias
    )


def publish_folder(
    folder: Path, name: str, draft: "ManifestDraft", registry: "Registry", alias: str | None = None
) -> "Version":
    """Publish every file of ``folder`` as a version of ``name``."""
    from adapterhub_lite_registry import Source

    files = {
        path.relative_to(folder).as_posix(): Source(path, role=role_of(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return registry.publish(name, files, draft, alias=alias)


def role_of(path: Path) -> str:
    """Return what a file is for, by its name."""
    return ROLES.get(path.name) or ROLES.get(path.suffix) or "config"


def environment() -> dict[str, str]:
    """Return the versions that a result depends on."""
    versions = {name: installed_version(name) for name in ENVIRONMENT}
    return {"python": platform.python_version(), **versions}


def _draft(folder: Path, plan: "Plan", best: "SeedResult") -> "ManifestDraft":
    from adapterhub_lite_registry import Base, Dataset, ManifestDraft, Parent, Signature

    marks = fingerprint(plan.base)
    parents = (
        (Parent(digest=plan.base.revision, role="base"),) if plan.base.source == "registry" else ()
    )
    return ManifestDraft(
        kind="classifier",
        task=plan.objective.spec.task,
        base=Base(
            ref=plan.base.ref,
            revision=plan.base.revision or None,
            config_sha256=marks.config,
            weights_sha256=marks.weights,
            tokenizer_sha256=marks.tokenizer,
            arch=plan.architecture.model_type or None,
            hidden=plan.architecture.hidden_size,
            layers=plan.architecture.layers,
        ),
        method=_component(plan.method),
        objective=_component(plan.objective),
        loader=_component(plan.loader),
        hyperparameters=_hyperparameters(plan, best),
        seed=best.seed,
        dataset=Dataset(
            id=plan.recipe.data.train,
            split="train",
            rows=best.rows,
            sha256=plan.data.fingerprints["train"],
        ),
        metrics=_metrics(best),
        parents=parents,
        recipe=plan.resolved_recipe(),
        env=environment(),
        license=plan.recipe.license,
        signature=Signature(inputs=("text",), labels=plan.data.train.classes),
        tensors=tensor_count(folder),
    )


def _component(part: "ResolvedPart[Any]") -> "Component":
    from adapterhub_lite_registry import Component

    source = part.offer.source
    return Component(name=part.spec.name, plugin=source.distribution, plugin_version=source.version)


def _hyperparameters(plan: "Plan", best: "SeedResult") -> dict[str, Any]:
    chosen = {
        "method": plan.method.params.model_dump(mode="json"),
        "objective": plan.objective.params.model_dump(mode="json"),
        "loader": plan.loader.params.model_dump(mode="json"),
    }
    return {**chosen, "chosen": {"kept": best.kept, **best.hyperparameters}}


def _metrics(best: "SeedResult") -> tuple["Metric", ...]:
    from adapterhub_lite_registry import Metric

    metrics = [
        Metric(name=f"cv_score_{name}".replace("-", "_"), value=value, split="validation")
        for name, value in best.candidates.items()
    ]
    evaluations: dict[str, Evaluation | None] = {"": best.test, "baseline_": best.baseline}
    for prefix, evaluation in evaluations.items():
        if evaluation is None:
            continue
        metrics += [
            Metric(
                name=prefix + metric.name,
                value=metric.value,
                split="test",
                n=evaluation.rows,
                seed=best.seed,
                ci=metric.interval,
            )
            for metric in evaluation.metrics
        ]
    return tuple(metrics)


def tensor_count(folder: Path) -> Any:
    """Count the tensors of a model folder by dtype.

    Raises NonFiniteError when a weight is NaN or infinite: such a model is not published.
    """
    from safetensors import safe_open

    from adapterhub_lite_registry import Tensors

    headers = read_headers(folder, folder.name)
    dtypes: dict[str, int] = {}
    for info in headers.values():
        dtypes[info.dtype] = dtypes.get(info.dtype, 0) + 1
    for file in weight_files(folder, folder.name):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  (not a dict: it cannot be iterated)
                tensor = tensors.get_tensor(name)
                if tensor.is_floating_point() and not tensor.isfinite().all():
                    raise NonFiniteError(f"the weight {name} is not finite", step=-1)
    return Tensors(count=len(headers), dtypes=dtypes, nonfinite=0)
