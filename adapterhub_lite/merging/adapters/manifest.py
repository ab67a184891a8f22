"""The manifest of an adapter that was not trained: merged from others, or out of a whole model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.folders import component, manifest_base
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.specs import ResolvedBase
from adapterhub_lite.streaming.factors import Compressed
from adapterhub_lite.training.publish import INPUTS, environment, tensor_count

if TYPE_CHECKING:
    from adapterhub_lite_registry import ManifestDraft, Parent


def adapter_draft(
    folder: Path,
    base: ResolvedBase,
    catalogue: Catalogue,
    *,
    hyperparameters: Mapping[str, Any],
    parents: Sequence["Parent"],
    **known: Any,
) -> "ManifestDraft":
    """Return what is known of the adapter in ``folder``; ``known`` are further fields."""
    from adapterhub_lite_registry import ManifestDraft, Signature

    info = read_artifact_info(folder)
    rows = catalogue.objective(info.objective).rows
    return ManifestDraft(
        kind="adapter",
        task=info.task,
        base=manifest_base(base),
        method=component("method", info.method, catalogue),
        objective=component("objective", info.objective, catalogue),
        loader=component("loader", info.loader, catalogue),
        hyperparameters=dict(hyperparameters),
        parents=tuple(parents),
        env=environment(),
        signature=Signature(inputs=INPUTS[rows], labels=info.head.labels),
        tensors=tensor_count(folder),
        **known,
    )


def approximation(modules: Mapping[str, Compressed]) -> dict[str, Any]:
    """Return each module's rank, and the relative error of its factors."""
    return {
        "ranks": {module: part.factors.rank for module, part in modules.items()},
        "errors": {module: part.error for module, part in modules.items()},
    }
