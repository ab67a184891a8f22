"""Publish another tool's folder as a version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.folders import component
from adapterhub_lite.errors import PluginError, SelfTestError
from adapterhub_lite.inference import Predictor
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.inference.loading import load_predictor
from adapterhub_lite.specs import Task
from adapterhub_lite.training.publish import environment, publish_folder, tensor_count

if TYPE_CHECKING:
    from adapterhub_lite_registry import ManifestDraft, Registry, Version

PROBES: Final = ("Where is my parcel?", "a")
TASK_PROBES: Final[Mapping[Task, Sequence[Any]]] = {
    "token-classification": (("Where", "is", "Ada"), ("a",)),
    "question-answering": (("Where is it?", "It is here."),),
}
"""What a model is tried with whose task takes no plain texts."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What was published from where, and what the importer tells of how it read the source."""

    version: "Version"
    source: Path
    form: str
    details: Mapping[str, Any]


def import_folder(
    source: Path,
    name: str,
    form: str,
    registry: "Registry",
    catalogue: Catalogue,
    *,
    alias: str | None = None,
    convert: bool = False,
) -> Imported:
    """Publish the folder ``source``, written by another tool, as the next version of ``name``.

    ``convert`` allows a pickle to be converted in isolation. Raises UnknownNameError for a format
    that no plugin offers, UserError when the folder cannot be read, InvalidNameError.
    """
    from adapterhub_lite_registry import check_name

    check_name(name)
    importer = catalogue.implementation(catalogue.importer(form))
    with TemporaryDirectory(prefix="adapterhub-") as work:
        folder = Path(work)
        fields = importer.read(source.expanduser(), folder, convert=convert)
        draft = _draft(folder, fields, form, catalogue)
        _try_out(folder, draft, registry, catalogue)
        _write_card(folder, name, form, draft)
        version = publish_folder(folder, name, draft, registry, alias)
    return Imported(version, source, form, draft.hyperparameters)


def _draft(
    folder: Path, fields: Mapping[str, Any], form: str, catalogue: Catalogue
) -> "ManifestDraft":
    """Complete what the importer tells by what the folder and this process tell."""
    from pydantic import ValidationError

    from adapterhub_lite_registry import ManifestDraft

    info = read_artifact_info(folder)
    try:
        return ManifestDraft(
            **fields,
            task=info.task,
            method=component("method", info.method, catalogue),
            objective=component("objective", info.objective, catalogue),
            env=environment(),
            tensors=tensor_count(folder),
        )
    except (ValidationError, TypeError) as error:
        plugin = catalogue.offer("importer", form).source.distribution
        raise PluginError(
            f"the importer {form!r} tells what is no manifest: {error}", plugin=plugin
        ) from error


def _try_out(
    folder: Path, draft: "ManifestDraft", registry: "Registry", catalogue: Catalogue
) -> None:
    """Load what will be published as its users will; raises SelfTestError when it cannot answer."""
    predictor = load_predictor(str(folder), registry, catalogue)
    labels = draft.signature.labels if draft.signature else ()
    if predictor.classes != labels or not _answers(predictor):
        raise SelfTestError(
            "the imported model does not answer with a finite number for each label",
            hint="nothing was published",
        )


def _answers(predictor: Predictor) -> bool:
    """Say whether a model answers at all; a classifier, whether its probabilities are finite."""
    import numpy as np

    if predictor.task == "text-classification":
        return bool(np.isfinite(predictor.predict_proba(PROBES)).all())
    return len(predictor.predict(TASK_PROBES.get(predictor.task, PROBES))) > 0


def _write_card(folder: Path, name: str, form: str, draft: "ManifestDraft") -> None:
    """Write ``README.md``: what it is, where it came from, how to use it."""
    import yaml

    info = read_artifact_info(folder)
    front: dict[str, Any] = {"library_name": "adapterhub-lite"}
    if draft.license:
        front["license"] = draft.license
    front["pipeline_tag"] = info.task
    if draft.base:
        front["base_model"] = draft.base.ref
    front["tags"] = ["adapterhub-lite", info.objective, info.method]
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    labels = ", ".join(f"`{label}`" for label in draft.signature.labels) if draft.signature else ""
    text = (
        f"---\n{head}---\n\n# {name}\n\nImported from a folder of {form}.\n\n## Use\n\n"
        f'```python\nimport adapterhub_lite\n\nadapterhub_lite.load("{name}").predict(["a text"])'
        f"\n```\n\nLabels: {labels}\n"
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
