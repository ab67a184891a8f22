"""Publish another tool's folder as a version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.archives import unpacked
from adapterhub_lite.deployment.choices import ImportChoices, import_options
from adapterhub_lite.deployment.folders import component, manifest_base
from adapterhub_lite.deployment.recognising import recognise
from adapterhub_lite.errors import PluginError, SelfTestError
from adapterhub_lite.inference.artifact import (
    ArtifactInfo,
    read_artifact_info,
    write_artifact_info,
)
from adapterhub_lite.inference.loading import find_base, load_model, load_predictor
from adapterhub_lite.inference.origins import origins_of
from adapterhub_lite.inference.predictor import Predictor
from adapterhub_lite.predictions import Embedded, Prediction, Valued
from adapterhub_lite.protocols import Outcome
from adapterhub_lite.recipes import validate
from adapterhub_lite.reports.metadata import front_matter, hub_model, license_of, task_of
from adapterhub_lite.specs import ObjectiveSpec, ResolvedBase, Task
from adapterhub_lite.training.publish import INPUTS, environment, publish_folder, tensor_count

if TYPE_CHECKING:
    from adapterhub_lite_registry import ManifestDraft, Registry, Version

MAX_LENGTH: Final = 2**20
"""A tokenizer that tells a larger length, in tokens, tells none."""
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
    form: str | None,
    registry: "Registry",
    catalogue: Catalogue,
    *,
    alias: str | None = None,
    choices: ImportChoices | None = None,
) -> Imported:
    """Publish ``source``, a folder or archive by another tool, as the next version of ``name``.

    Without a format the folder's files tell it. Raises UnknownNameError for a format that no plugin
    offers, UserError when the folder cannot be read, is of no one format, or the choices do not
    fit it, InvalidNameError, SelfTestError, and SignatureError where the registry asks for one.
    """
    from adapterhub_lite_registry import check_name

    check_name(name)
    registry.signatures.refuse_unsigned(str(source))
    if form is not None:
        catalogue.importer(form)  # a misspelt format is named first, whatever else is wrong
    choices = choices or ImportChoices()
    with (
        unpacked(source.expanduser()) as given,
        TemporaryDirectory(prefix="adapterhub-") as work,
    ):
        form = form or recognise(given, catalogue)
        spec = catalogue.importer(form)
        options = import_options(choices, spec, registry, catalogue)
        folder = Path(work)
        fields = catalogue.implementation(spec).read(given, folder, options)
        info = read_artifact_info(folder)
        info = replace(info, origins=origins_of(info, catalogue))
        write_artifact_info(folder, info)
        base = find_base(folder, info, registry, catalogue)
        if "objective" in spec.takes:
            _adopt(folder, info, base, choices.params, catalogue)
        draft = _draft(folder, info, base, fields, form, catalogue)
        _try_out(folder, draft, registry, catalogue)
        _write_card(folder, name, form, draft)
        version = publish_folder(folder, name, draft, registry, alias)
    return Imported(version, source, form, draft.hyperparameters)


def _adopt(
    folder: Path,
    info: ArtifactInfo,
    base: ResolvedBase,
    given: Mapping[str, Any],
    catalogue: Catalogue,
) -> None:
    """Add what the objective needs to answer with the model."""
    spec = catalogue.objective(info.objective)
    loaded = load_model(folder, info, base, catalogue, "cpu")
    told = {} if info.base else _told_length(spec, loaded.tokenizer)
    params = validate(spec.params, {**told, **given}, where="objective")
    objective = catalogue.implementation(spec)
    scorer = objective.adopt(loaded, params)
    loaded.tokenizer.save_pretrained(folder)  # with the chat template that it may have got
    objective.save(Outcome(scorer, None, kept="imported", reason="", selection=None), folder)


def _told_length(spec: ObjectiveSpec, tokenizer: Any) -> dict[str, int]:
    """Return the longest text that a whole model's tokenizer tells: longer ones were cut there."""
    longest = tokenizer.model_max_length
    told = "max_length" in spec.params.model_fields and longest < MAX_LENGTH
    return {"max_length": int(longest)} if told else {}


def _draft(
    folder: Path,
    info: ArtifactInfo,
    base: ResolvedBase,
    fields: Mapping[str, Any],
    form: str,
    catalogue: Catalogue,
) -> "ManifestDraft":
    """Complete what the importer tells by what the folder and this process tell."""
    from pydantic import ValidationError

    from adapterhub_lite_registry import ManifestDraft

    try:
        return ManifestDraft(
            **{**_of_artifact(info, base, catalogue), **fields},
            task=info.task,
            method=component("method", info.method, catalogue),
            objective=component("objective", info.objective, catalogue),
            loader=component("loader", info.loader, catalogue),
            env=environment(),
            tensors=tensor_count(folder),
        )
    except (ValidationError, TypeError) as error:
        plugin = catalogue.offer("importer", form).source.distribution
        raise PluginError(
            f"the importer {form!r} tells what is no manifest: {error}", plugin=plugin
        ) from error


def _of_artifact(info: ArtifactInfo, base: ResolvedBase, catalogue: Catalogue) -> dict[str, Any]:
    """Return what the artifact tells of itself, as far as its importer does not."""
    from adapterhub_lite_registry import Parent, Signature

    rows = catalogue.objective(info.objective).rows
    fields: dict[str, Any] = {
        "kind": "adapter" if info.base else "model",
        "signature": Signature(inputs=INPUTS[rows], labels=info.head.labels),
    }
    if info.base is not None:
        fields["base"] = manifest_base(base)
    if base.source == "registry":
        fields["parents"] = (Parent(digest=base.revision, role="base"),)
    return fields


def _try_out(
    folder: Path, draft: "ManifestDraft", registry: "Registry", catalogue: Catalogue
) -> None:
    """Load what will be published as its users will; raises SelfTestError when it cannot answer."""
    predictor = load_predictor(str(folder), registry, catalogue)
    labels = draft.signature.labels if draft.signature else ()
    if predictor.classes not in ((), labels) or not _answers(predictor):
        raise SelfTestError(
            "the imported model does not answer with a finite number for each label",
            hint="nothing was published",
        )


def _answers(predictor: Predictor) -> bool:
    """Say whether a model answers, a classifier with a finite probability for each label."""
    import numpy as np

    if predictor.task == "text-classification":
        return bool(np.isfinite(predictor.predict_proba(PROBES)).all())
    answers = predictor.predict(TASK_PROBES.get(predictor.task, PROBES))
    return bool(answers) and all(map(_is_finite, answers))


def _is_finite(answer: Prediction) -> bool:
    import numpy as np

    match answer:
        case Valued():
            return bool(np.isfinite(answer.value))
        case Embedded():
            return bool(np.isfinite(answer.vector).all())
        case _:
            return True


def _write_card(folder: Path, name: str, form: str, draft: "ManifestDraft") -> None:
    """Write ``README.md``: what it is, where it came from, how to use it."""
    info = read_artifact_info(folder)
    base = hub_model(draft.base.ref, draft.base.revision) if draft.base else None
    front = {
        "library_name": "adapterhub-lite",
        **license_of(draft.license),
        "pipeline_tag": task_of(info.task),
        **({"base_model": base} if base else {}),
        "tags": ["adapterhub-lite", info.objective, info.method],
    }
    labels = ", ".join(f"`{label}`" for label in draft.signature.labels) if draft.signature else ""
    text = (
        f"{front_matter(front)}\n\n# {name}\n\nImported from a folder of {form}.\n\n## Use\n\n"
        f'```python\nimport adapterhub_lite\n\nadapterhub_lite.load("{name}").predict(["a text"])'
        f"\n```\n" + (f"\nLabels: {labels}\n" if labels else "")
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
