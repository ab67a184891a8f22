"""Publish a run's folder as an immutable version with its manifest."""

import platform
from collections import Counter
from collections.abc import Collection, Mapping
from importlib.metadata import version as installed_version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.architecture import read_header
from adapterhub_lite.bases import fingerprint
from adapterhub_lite.errors import NonFiniteError
from adapterhub_lite.evaluation import Evaluation
from adapterhub_lite.specs import RowKind
from adapterhub_lite.streaming.finite import first_fault

if TYPE_CHECKING:
    from adapterhub_lite.training.parts import ResolvedPart
    from adapterhub_lite.training.plan import Plan
    from adapterhub_lite.training.results import SeedResult
    from adapterhub_lite_registry import Component, ManifestDraft, Metric, Registry, Version

ENVIRONMENT = (
    "torch",
    "transformers",
    "peft",
    "safetensors",
    "scikit-learn",
    "numpy",
    "adapterhub-lite",
)
INPUTS: Final[Mapping[RowKind, tuple[str, ...]]] = {
    "labelled-text": ("text",),
    "tagged-words": ("words",),
    "valued-text": ("text",),
    "question": ("question", "context"),
    "document": ("text",),
    "dialogue": ("messages",),
    "source-target": ("source",),
    "similar-texts": ("text",),
}
"""Row kind → the names of what a model trained on it is asked with."""
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
    folder: Path,
    name: str,
    draft: "ManifestDraft",
    registry: "Registry",
    alias: str | None = None,
    hashes: Mapping[str, str] = MappingProxyType({}),
) -> "Version":
    """Publish every file of ``folder`` as a version of ``name``.

    Files with ``hashes``, name → SHA-256, are given over to the registry, on whose disk they lie.
    """
    from adapterhub_lite_registry import Source

    paths = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    files = {
        place: Source(path, role=role_of(path), sha256=hashes.get(place))
        for place, path in paths.items()
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
    base = [plan.base.revision] if plan.base.source == "registry" else []
    upon = [adapter.digest for adapter in plan.method.params.named_adapters() if adapter.digest]
    parents = (
        *(Parent(digest=digest, role="base") for digest in base),
        *(Parent(digest=digest, role="member") for digest in upon),
    )
    return ManifestDraft(
        kind="adapter" if plan.method.spec.needs_base else "model",
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
            id=", ".join(plan.recipe.data.training_files.values()),
            split="train",
            rows=best.rows,
            sha256=plan.data.fingerprints["train"],
        ),
        metrics=_metrics(best),
        parents=parents,
        recipe=plan.resolved_recipe(),
        env=environment(),
        license=plan.recipe.license,
        signature=Signature(inputs=INPUTS[plan.objective.spec.rows], labels=plan.head.labels),
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
    signatures = (
        {m.name: m.signature for m in best.test.metrics if m.signature} if best.test else {}
    )
    told = {"signatures": signatures} if signatures else {}
    return {**chosen, "chosen": {"kept": best.kept, **best.hyperparameters}, **told}


def _metrics(best: "SeedResult") -> tuple["Metric", ...]:
    from adapterhub_lite_registry import Metric

    metrics = [
        Metric(name=f"cv_score_{name}".replace("-", "_"), value=value, split="validation")
        for name, value in best.candidates.items()
    ]
    evaluations: dict[str, Evaluation | None] = {"": best.test, "baseline_": best.baseline}
    evaluations |= {f"{source}_": evaluation for source, evaluation in best.by_source.items()}
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


def tensor_count(folder: Path, finite: Collection[str] = ()) -> Any:
    """Count the tensors of a version's folder by dtype: the model's or adapter's, and the head's.

    The files named in ``finite`` were looked at already. Raises NonFiniteError when a weight of
    another is NaN or infinite: such a model is not published. A head may be infinite: a label that
    every training row carries is certain.
    """
    from adapterhub_lite_registry import Tensors

    dtypes: Counter[str] = Counter()
    infinite = 0
    for file in sorted(folder.glob("*.safetensors")):
        dtypes.update(info.dtype for info in read_header(file, folder.name).values())
        if file.name in finite or (name := first_fault(file)) is None:
            continue
        if role_of(file) != "head":
            raise _not_finite(name)
        infinite += _count_infinite(file)
    return Tensors(count=dtypes.total(), dtypes=dtypes, nonfinite=infinite)


def _count_infinite(file: Path) -> int:
    """Return how many numbers of a file are infinite; raises NonFiniteError for a NaN."""
    from safetensors.torch import load_file

    tensors = load_file(file)
    for name, tensor in tensors.items():
        if tensor.isnan().any():
            raise _not_finite(name)
    return sum(int(tensor.isinf().sum()) for tensor in tensors.values())


def _not_finite(name: str) -> NonFiniteError:
    return NonFiniteError(f"the weight {name} is not finite", step=-1)
