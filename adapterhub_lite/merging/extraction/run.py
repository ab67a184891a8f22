"""Extracts a LoRA adapter from a fine-tuned model, into a folder or as a version."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.architecture import weight_files
from adapterhub_lite.bases import fingerprint, resolve_base
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.fresh import fresh_folder
from adapterhub_lite.errors import CapabilityError, UserError
from adapterhub_lite.inference.artifact import (
    ARTIFACT_FILE,
    ArtifactInfo,
    NeededBase,
    write_artifact_info,
)
from adapterhub_lite.merging.adapters.manifest import adapter_draft, approximation
from adapterhub_lite.merging.adapters.output import AdapterContent, AdapterType, write_lora
from adapterhub_lite.merging.extraction.extract import (
    Extraction,
    compare_rest,
    decompose,
    pair_models,
)
from adapterhub_lite.merging.extraction.module_kinds import kinds_of_model
from adapterhub_lite.merging.extraction.output import Rest, adapter_content, beside_factors
from adapterhub_lite.merging.extraction.task_types import task_type_of
from adapterhub_lite.merging.opening import NOTHING, Allowed, Opened, open_model
from adapterhub_lite.specs import ResolvedBase
from adapterhub_lite.streaming.adapters.files import CONFIG, WEIGHTS
from adapterhub_lite.streaming.factors import RankChoice
from adapterhub_lite.streaming.tying import implied_output
from adapterhub_lite.training.publish import publish_folder

if TYPE_CHECKING:
    from adapterhub_lite_registry import ManifestDraft, Registry, Version

METHOD: Final = "lora"
MODEL_FILES: Final = frozenset(
    {"config.json", "generation_config.json", "model.safetensors.index.json", ARTIFACT_FILE}
    | {"README.md", "recipe.yml", "report.html"}
)
"""What makes a folder a whole model, or says how that was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """What was extracted, and where it is.

    ``difference`` is how far the adapter's outputs are from the model's, of the largest, where the
    model is a version of ours; None elsewhere. ``notices`` say how the models were read.
    """

    extraction: Extraction
    content: AdapterContent
    folder: Path | None
    version: "Version | None"
    difference: float | None
    notices: tuple[str, ...]


def extract_adapter(
    ref: str,
    base: str,
    registry: "Registry",
    catalogue: Catalogue,
    choice: RankChoice,
    *,
    out: Path | None = None,
    name: str | None = None,
    alias: str | None = None,
    rest: Rest = "refuse",
    dtype: AdapterType = "float32",
    progress: Callable[[int, int], None] | None = None,
    allowed: Allowed = NOTHING,
) -> Extracted:
    """Extract what the model ``ref``, which may be an adapter of any kind, adds to ``base``.

    It is written to ``out``, or published as a version of ``name``. ``progress`` is called with the
    numbers done, and all of them. Raises BaseModelError for models that are not found, MergeError
    for models of different shapes, CapabilityError for differences that an adapter cannot hold, and
    UserError for a model that cannot be published.
    """
    origin = open_model(base, registry, catalogue, allowed=allowed)
    model = open_model(ref, registry, catalogue, base=base, allowed=allowed)
    _check_place(ref, model.info, out, name)
    under = replace(resolve_base(base, catalogue, registry), path=str(origin.folder))
    with new_folder(out) as folder:
        paired = pair_models(model.source, origin.source, kinds_of_model(origin.folder))
        found = compare_rest(paired, model.source, origin.source)
        tied = implied_output(model.source.tensors.keys(), model.config) is not None
        beside = beside_factors(found, model.source, rest, tied=tied)
        extraction = decompose(found, model.source, origin.source, choice, progress=progress)
        content = adapter_content(
            extraction,
            model.source,
            origin.source,
            beside,
            task_type=task_type_of(model.info, model.config),
            base_name=under.ref.removeprefix("hub:").partition("@")[0],
        )
        write_lora(folder, content, dtype)
        difference = None
        if model.info is not None:
            made = _write_version_files(folder, model, model.info, under)
            difference = _difference(folder, made, model, model.info, under, catalogue)
        version = None
        if name is not None:
            draft = _draft(folder, model, under, extraction, difference, catalogue)
            version = publish_folder(folder, name, draft, registry, alias)
    return Extracted(
        extraction=extraction,
        content=content,
        folder=out,
        version=version,
        difference=difference,
        notices=tuple(dict.fromkeys((*origin.notices, *model.notices))),
    )


def _check_place(ref: str, info: ArtifactInfo | None, out: Path | None, name: str | None) -> None:
    if (out is None) == (name is None):
        raise UserError("the adapter needs one place to go", hint="give either --out or --name")
    if name is None:
        return
    from adapterhub_lite_registry import check_name

    check_name(name)
    if info is None:
        raise UserError(
            f"{ref} says nothing of its task: an adapter of it cannot be published",
            hint="write it to a folder with --out, then: ahl import DIR --format peft",
        )


@contextmanager
def new_folder(out: Path | None) -> Iterator[Path]:
    """Yield a folder that becomes ``out`` when all is written, or one that is thrown away."""
    if out is not None:
        with fresh_folder(out) as folder:
            yield folder
        return
    with TemporaryDirectory(prefix="adapterhub-") as work:
        yield Path(work)


def _write_version_files(
    folder: Path, model: Opened, info: ArtifactInfo, base: ResolvedBase
) -> ArtifactInfo:
    """Make the adapter a version of ours: its task, and the model's tokenizer and head files."""
    source = model.adapter or model.folder
    weights = [] if model.adapter else weight_files(source, model.ref)
    left_out = {*MODEL_FILES, CONFIG, WEIGHTS, *(file.name for file in weights)}
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        relative = file.relative_to(source)
        if relative.as_posix() not in left_out:
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / relative)
    needed = NeededBase(ref=base.ref, fingerprint=fingerprint(base))
    made = replace(info, method=METHOD, loader="fp32", loader_params={}, base=needed)
    write_artifact_info(folder, made)
    return made


def _difference(
    folder: Path,
    made: ArtifactInfo,
    model: Opened,
    info: ArtifactInfo,
    base: ResolvedBase,
    catalogue: Catalogue,
) -> float:
    """Load both as their users will, and compare their outputs."""
    from adapterhub_lite.inference.loading import load_model
    from adapterhub_lite.probe import answers, difference

    whole = ResolvedBase(ref=model.ref, path=str(model.folder), source="artifact")
    before = load_model(model.adapter or model.folder, info, whole, catalogue, "cpu")
    after = load_model(folder, made, base, catalogue, "cpu")
    return difference(answers(before.model), answers(after.model))


def _draft(
    folder: Path,
    model: Opened,
    base: ResolvedBase,
    extraction: Extraction,
    difference: float | None,
    catalogue: Catalogue,
) -> "ManifestDraft":
    from adapterhub_lite_registry import Parent

    told: dict[str, Any] = {
        "from": str(model.version or model.ref),
        **approximation(extraction.modules),
        "relative_difference": difference,
    }
    digests = {
        "finetuned": model.version.digest if model.version else "",
        "base": base.revision if base.source == "registry" else "",
    }
    parents = [Parent(digest=digest, role=role) for role, digest in digests.items() if digest]
    return adapter_draft(
        folder, base, catalogue, hyperparameters={"extracted": told}, parents=parents
    )


def require_choice(rank: int | None, energy: float | None) -> RankChoice:
    """Return the choice of a command line; raises CapabilityError for none or two."""
    if (rank is None) == (energy is None):
        raise CapabilityError(
            "the adapter needs a rank, or a share of energy to keep",
            hint="--rank 16 bounds its size, --energy 0.95 its loss",
        )
    return RankChoice(rank=rank, energy=energy)
