"""What makes a merged adapter's folder a version of ours: its task, its head, its tokenizer.

The parents' own files are taken over where the parents are ours and agree on what they are for.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from adapterhub_lite.errors import MergeError, NotFoundError
from adapterhub_lite.inference.artifact import (
    ARTIFACT_FILE,
    ArtifactInfo,
    read_artifact_info,
    write_artifact_info,
)
from adapterhub_lite.merging.adapters.files import LoraFolder
from adapterhub_lite.merging.adapters.heads import HINT, Heads
from adapterhub_lite.streaming.adapters.files import CONFIG, WEIGHTS

METHOD: Final = "lora"
"""The method that loads what is written, whichever its parents were trained with."""
OWN_FILES: Final = frozenset(
    {
        CONFIG,
        WEIGHTS,
        ARTIFACT_FILE,
        "README.md",
        "recipe.yml",
        "report.html",
        "derived.safetensors",
    }
)
"""What says how a parent itself was made, or holds its own weights."""
OBJECTIVE_HEADS: Final = "head."
"""How the names of files begin in which an objective keeps a head of its own."""
DEFAULT_LOADER: Final = "fp32"


@dataclass(frozen=True, slots=True)
class VersionFiles:
    """Whether the folder became a version, and what the user is to be told."""

    is_version: bool
    notices: tuple[str, ...] = ()


def write_version_files(
    adapters: Sequence[LoraFolder], heads: Heads, rule: str, destination: Path
) -> VersionFiles:
    """Write ``adapterhub.json``, the tokenizer and the objective's files beside a merged adapter.

    Nothing is written where a parent is not ours, or the head is left out. Raises MergeError for
    parents of different bases, and for different tasks or labels unless one parent's head is kept.
    """
    destination.mkdir(parents=True, exist_ok=True)
    infos = [_info(adapter) for adapter in adapters]
    known = [info for info in infos if info is not None]
    _require_one_base(adapters, infos)
    if len(known) < len(infos):
        return VersionFiles(False, ("some of the adapters are no versions: only PEFT loads this",))
    if rule == "omit" and any(adapter.saved for adapter in adapters):
        return VersionFiles(False, ("the head is left out: only PEFT loads this, with a new one",))
    chosen = heads.keeper if rule.startswith("keep ") and heads.keeper is not None else 0
    if not rule.startswith("keep "):
        _require_one_task(adapters, known)
    notices = _copy_files(adapters, chosen, rule, destination)
    info = replace(known[chosen], method=METHOD)
    if any((k.loader, k.loader_params) != (info.loader, info.loader_params) for k in known):
        info = replace(info, loader=DEFAULT_LOADER, loader_params={})
        notices.append(
            f"the adapters' bases were loaded differently: this one's is by {DEFAULT_LOADER}"
        )
    write_artifact_info(destination, info)
    return VersionFiles(True, tuple(notices))


def _info(adapter: LoraFolder) -> ArtifactInfo | None:
    try:
        return read_artifact_info(adapter.folder)
    except NotFoundError:
        return None


def _require_one_base(adapters: Sequence[LoraFolder], infos: Sequence[ArtifactInfo | None]) -> None:
    """Refuse adapters of different bases, as far as they tell; raises MergeError."""
    based = [
        (adapter.label, info.base)
        for adapter, info in zip(adapters, infos, strict=True)
        if info is not None and info.base is not None
    ]
    for label, base in based[1:]:
        first_label, first = based[0]
        # another tokenizer file changes no weight that is adapted
        mine, other = first.fingerprint, base.fingerprint
        if (mine.config, mine.weights) != (other.config, other.weights):
            raise MergeError(
                f"{first_label} was trained on {first.ref}, and {label} on {base.ref}, which is "
                "another base",
                hint="only adapters of the same base can be merged",
            )


def _require_one_task(adapters: Sequence[LoraFolder], infos: Sequence[ArtifactInfo]) -> None:
    first = infos[0]
    for adapter, info in zip(adapters, infos, strict=True):
        for what, here, there in (
            ("tasks", first.objective, info.objective),
            ("labels", first.head.labels, info.head.labels),
            ("heads", first.head, info.head),
        ):
            if here != there:
                raise MergeError(
                    f"{adapters[0].label} and {adapter.label} have different {what}", hint=HINT
                )


def _copy_files(
    adapters: Sequence[LoraFolder], chosen: int, rule: str, destination: Path
) -> list[str]:
    """Copy one parent's files; return notices of those in which the others differ."""
    source = adapters[chosen].folder
    notices = []
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        name = file.relative_to(source)
        if name.as_posix() in OWN_FILES:
            continue
        others = [a for a in adapters if not _same(file, a.folder / name)]
        if others and name.name.startswith(OBJECTIVE_HEADS) and not rule.startswith("keep "):
            raise MergeError(
                f"the head in {name} differs between {adapters[chosen].label} and "
                f"{others[0].label}",
                hint="keep one of them: heads: keep REF",
            )
        if others:
            notices.append(f"{name} is that of {adapters[chosen].label}; others differ")
        target = destination / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return notices


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()
