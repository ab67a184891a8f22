"""Publish another tool's folder as a version."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.archives import unpacked
from adapterhub_lite.deployment.choices import ImportChoices, import_options
from adapterhub_lite.deployment.folders import component, manifest_base
from adapterhub_lite.deployment.recognising import recognise
from adapterhub_lite.deployment.trial import load_as_stored, try_out
from adapterhub_lite.deployment.weights import remembering
from adapterhub_lite.errors import PluginError
from adapterhub_lite.inference.artifact import (
    ArtifactInfo,
    read_artifact_info,
    write_artifact_info,
)
from adapterhub_lite.inference.loading import find_base
from adapterhub_lite.inference.origins import origins_of
from adapterhub_lite.protocols import LoadedBase, Outcome
from adapterhub_lite.recipes import validate
from adapterhub_lite.reports.metadata import front_matter, hub_model, license_of, task_of
from adapterhub_lite.specs import ObjectiveSpec, ResolvedBase
from adapterhub_lite.training.publish import INPUTS, environment, publish_folder, tensor_count

if TYPE_CHECKING:
    from adapterhub_lite_registry import ManifestDraft, Registry, Tensors, Version

MAX_LENGTH: Final = 2**20
"""A tokenizer that tells a larger length, in tokens, tells none."""


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
        registry.scratch() as work,
        remembering() as judged,
    ):
        form = form or recognise(given, catalogue)
        spec = catalogue.importer(form)
        options = import_options(choices, spec, registry, catalogue)
        folder = work / "version"
        folder.mkdir()
        fields = catalogue.implementation(spec).read(given, folder, options)
        info = read_artifact_info(folder)
        info = replace(info, origins=origins_of(info, catalogue))
        write_artifact_info(folder, info)
        base = find_base(folder, info, registry, catalogue)
        loaded = load_as_stored(folder, info, base, catalogue)
        if "objective" in spec.takes:
            _adopt(folder, info, loaded, choices.params, catalogue)
        tensors = tensor_count(folder, finite=judged.hashes(folder))
        draft = _draft(info, base, fields, tensors, form, catalogue)
        labels = draft.signature.labels if draft.signature else ()
        try_out(folder, info, base, loaded, labels, catalogue)
        _write_card(folder, name, form, draft)
        version = publish_folder(folder, name, draft, registry, alias, judged.hashes(folder))
    return Imported(version, source, form, draft.hyperparameters)


def _adopt(
    folder: Path,
    info: ArtifactInfo,
    loaded: LoadedBase,
    given: Mapping[str, Any],
    catalogue: Catalogue,
) -> None:
    """Add what the objective needs to answer with the model."""
    spec = catalogue.objective(info.objective)
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
    info: ArtifactInfo,
    base: ResolvedBase,
    fields: Mapping[str, Any],
    tensors: "Tensors",
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
            tensors=tensors,
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
