"""Extracts a LoRA adapter from a fine-tuned model, into a folder or as a version."""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.architecture import weight_files
from adapterhub_lite.bases import fingerprint, resolve_base
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.folders import component, manifest_base
from adapterhub_lite.deployment.fresh import fresh_folder
from adapterhub_lite.errors import CapabilityError, NotFoundError, UserError
from adapterhub_lite.inference.artifact import (
    ARTIFACT_FILE,
    ArtifactInfo,
    NeededBase,
    read_artifact_info,
    write_artifact_info,
)
from adapterhub_lite.merging.adapters.output import AdapterContent, AdapterType, write_lora
from adapterhub_lite.merging.extraction.extract import Extraction, compare_models, decompose
from adapterhub_lite.merging.extraction.module_kinds import kinds_of_model
from adapterhub_lite.merging.extraction.output import Rest, adapter_content, beside_factors
from adapterhub_lite.merging.opening import read_config
from adapterhub_lite.specs import HeadKind, ResolvedBase
from adapterhub_lite.streaming.factors import RankChoice
from adapterhub_lite.streaming.sources import FolderSource
from adapterhub_lite.streaming.tying import implied_output
from adapterhub_lite.training.publish import INPUTS, environment, publish_folder, tensor_count

if TYPE_CHECKING:
    from adapterhub_lite_registry import ManifestDraft, Registry, Version

METHOD: Final = "lora"
MODEL_FILES: Final = frozenset(
    {"config.json", "generation_config.json", "model.safetensors.index.json", ARTIFACT_FILE}
    | {"README.md", "recipe.yml", "report.html"}
)
"""What makes a folder a whole model, or says how that was made."""
TASK_TYPES: Final[Mapping[HeadKind, str]] = {
    "none": "FEATURE_EXTRACTION",
    "sequence-classification": "SEQ_CLS",
    "token-classification": "TOKEN_CLS",
    "question-answering": "QUESTION_ANS",
    "causal-lm": "CAUSAL_LM",
    "seq2seq-lm": "SEQ_2_SEQ_LM",
}
"""The kind of a head, as PEFT calls it."""
ARCHITECTURES: Final[tuple[tuple[str, HeadKind], ...]] = (
    (r"ForSequenceClassification$", "sequence-classification"),
    (r"ForTokenClassification$", "token-classification"),
    (r"ForQuestionAnswering$", "question-answering"),
    (r"(ForCausalLM|LMHeadModel)$", "causal-lm"),
    (r"ForConditionalGeneration$", "seq2seq-lm"),
    (r"Model$", "none"),
)
"""How the names of transformers' classes end, and which head that is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """What was extracted, and where it is.

    ``difference`` is how far the adapter's outputs are from the model's, of the largest, where the
    model is a version of ours; None elsewhere.
    """

    extraction: Extraction
    content: AdapterContent
    folder: Path | None
    version: "Version | None"
    difference: float | None


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
) -> Extracted:
    """Extract what the model ``ref`` adds to ``base``.

    It is written to ``out``, or published as a version of ``name``. ``progress`` is called with the
    layers done, and all of them. Raises BaseModelError for models that are not found, MergeError
    for models of different shapes, CapabilityError for differences that an adapter cannot hold, and
    UserError for a model that cannot be published.
    """
    model, under = (resolve_base(which, catalogue, registry) for which in (ref, base))
    info = _info(Path(model.path))
    _check_place(ref, info, out, name)
    finetuned, origin = FolderSource(Path(model.path), ref), FolderSource(Path(under.path), base)
    config = read_config(Path(model.path), ref)
    with _place(out) as folder:
        found = compare_models(finetuned, origin, kinds_of_model(Path(under.path)))
        tied = implied_output(finetuned.tensors.keys(), config) is not None
        beside = beside_factors(found, finetuned, rest, tied=tied)
        extraction = decompose(found, finetuned, origin, choice, progress=progress)
        content = adapter_content(
            extraction,
            finetuned,
            origin,
            beside,
            task_type=_task_type(info, config),
            base_name=under.ref.removeprefix("hub:").partition("@")[0],
        )
        write_lora(folder, content, dtype)
        difference = None
        if info is not None:
            made = _write_version_files(folder, Path(model.path), info, under)
            difference = _difference(folder, made, Path(model.path), info, under, catalogue)
        version = None
        if name is not None:
            draft = _draft(folder, model, under, extraction, difference, catalogue)
            version = publish_folder(folder, name, draft, registry, alias)
    return Extracted(
        extraction=extraction, content=content, folder=out, version=version, difference=difference
    )


def _info(folder: Path) -> ArtifactInfo | None:
    try:
        return read_artifact_info(folder)
    except NotFoundError:
        return None


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


def _task_type(info: ArtifactInfo | None, config: Mapping[str, Any]) -> str | None:
    if info is not None:
        return TASK_TYPES[info.head.kind]
    names = config.get("architectures") or [""]
    kinds = (kind for ending, kind in ARCHITECTURES if re.search(ending, str(names[0])))
    kind = next(kinds, None)
    return None if kind is None else TASK_TYPES[kind]


@contextmanager
def _place(out: Path | None) -> Iterator[Path]:
    """Yield a folder that becomes ``out`` when all is written, or one that is thrown away."""
    if out is not None:
        with fresh_folder(out) as folder:
            yield folder
        return
    with TemporaryDirectory(prefix="adapterhub-") as work:
        yield Path(work)


def _write_version_files(
    folder: Path, source: Path, info: ArtifactInfo, base: ResolvedBase
) -> ArtifactInfo:
    """Make the adapter a version of ours: its task, and the model's tokenizer and head files."""
    left_out = {*MODEL_FILES, *(file.name for file in weight_files(source, str(source)))}
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
    source: Path,
    info: ArtifactInfo,
    base: ResolvedBase,
    catalogue: Catalogue,
) -> float:
    """Load both as their users will, and compare their outputs."""
    from adapterhub_lite.inference.loading import load_model
    from adapterhub_lite.probe import answers, difference

    whole = ResolvedBase(ref=str(source), path=str(source), source="artifact")
    before = load_model(source, info, whole, catalogue, "cpu")
    after = load_model(folder, made, base, catalogue, "cpu")
    return difference(answers(before.model), answers(after.model))


def _draft(
    folder: Path,
    model: ResolvedBase,
    base: ResolvedBase,
    extraction: Extraction,
    difference: float | None,
    catalogue: Catalogue,
) -> "ManifestDraft":
    from adapterhub_lite_registry import ManifestDraft, Parent, Signature

    info = read_artifact_info(folder)
    rows = catalogue.objective(info.objective).rows
    found = {"finetuned": model, "base": base}
    told: dict[str, Any] = {
        "from": model.ref,
        "ranks": {module: part.factors.rank for module, part in extraction.modules.items()},
        "relative_difference": difference,
    }
    return ManifestDraft(
        kind="adapter",
        task=info.task,
        base=manifest_base(base),
        method=component("method", METHOD, catalogue),
        objective=component("objective", info.objective, catalogue),
        loader=component("loader", info.loader, catalogue),
        hyperparameters={"extracted": told},
        parents=tuple(
            Parent(digest=place.revision, role=role)
            for role, place in found.items()
            if place.source == "registry"
        ),
        env=environment(),
        signature=Signature(inputs=INPUTS[rows], labels=info.head.labels),
        tensors=tensor_count(folder),
    )


def require_choice(rank: int | None, energy: float | None) -> RankChoice:
    """Return the choice of a command line; raises CapabilityError for none or two."""
    if (rank is None) == (energy is None):
        raise CapabilityError(
            "the adapter needs a rank, or a share of energy to keep",
            hint="--rank 16 bounds its size, --energy 0.95 its loss",
        )
    return RankChoice(rank=rank, energy=energy)
