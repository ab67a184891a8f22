"""What a merged model keeps of its inputs' tasks: settings and heads beside the transformer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.deployment.baking import WHOLE_MODEL
from adapterhub_lite.errors import CapabilityError, IntegrityError, RecipeError
from adapterhub_lite.inference.artifact import ARTIFACT_FILE, ArtifactInfo
from adapterhub_lite.merging.folder.chat_templates import MORE_TEMPLATES, OLD_TEMPLATE_FILE
from adapterhub_lite.merging.opening import Opened
from adapterhub_lite.merging.vocabulary.tokens import ALL_FILES
from adapterhub_lite.training.publish import role_of

MODULES_FILE: Final = "modules.json"
SENTENCE_FILES: Final = (
    MODULES_FILE,
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
)
LIBRARY: Final = "sentence_transformers."
HEAD_TENSORS: Final = "head.safetensors"
NOT_SETTINGS: Final = frozenset(
    {
        *ALL_FILES,
        ARTIFACT_FILE,
        OLD_TEMPLATE_FILE,
        "adapter_config.json",
        "config.json",
        "generation_config.json",
        "model.safetensors.index.json",
    }
)
"""Files of a version that are no settings of its task: written otherwise, or not at all."""
VOLATILE: Final = frozenset({"__version__"})
"""Keys that may differ: they say which library wrote a file."""
WAY_OUT: Final = "keep one model's (heads: keep REF), or leave them out (heads: omit)"


@dataclass(slots=True, kw_only=True)
class TaskFiles:
    """``info`` is what ``adapterhub.json`` says; None where the output has no task of ours.

    ``source`` is the model whose settings the output has; ``copied`` and ``made`` are files by
    their place in the folder.
    """

    info: ArtifactInfo | None = None
    source: Opened | None = None
    copied: dict[str, Path] = field(default_factory=dict)
    made: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def kept_model(heads: str, models: Sequence[Opened]) -> Opened | None:
    """Return the model that ``keep REF`` names, else None; raises RecipeError when it is none."""
    if not heads.startswith("keep "):
        return None
    ref = heads.removeprefix("keep ").strip()
    for model in models:
        if model.ref == ref:
            return model
    raise RecipeError(
        f"'heads': {ref!r} is no model of the recipe",
        field="heads",
        hint=f"models: {', '.join(model.ref for model in models)}",
    )


def task_files(models: Sequence[Opened], kept: Opened | None, heads: str) -> TaskFiles:
    """Return what the versions of ours among the models agree on, or what the one ``kept`` says.

    Raises CapabilityError for tasks, labels or settings that differ: a merge that took one of them
    unasked would answer wrongly.
    """
    known = [model for model in ([kept] if kept else models) if model.info is not None]
    if heads == "omit" or not known:
        return TaskFiles()
    _require_same_task(known)
    first, info = known[0], known[0].info
    assert info is not None, "only models with one are known"
    found = TaskFiles(
        info=replace(info, method=WHOLE_MODEL, loader="fp32", loader_params={}, base=None),
        source=first,
    )
    if untold := [model.ref for model in models if model.info is None and not kept]:
        found.notes.append(f"{untold[0]} tells no task: the output has that of {first.ref}")
    _agree(known, [_settings(_own(model)) for model in known], heads, found)
    return found


def sentence_files(
    models: Sequence[Opened], base: Opened | None, kept: Opened | None, heads: str
) -> TaskFiles:
    """Return the modules of sentence-transformers that models, or else their base, have.

    Raises CapabilityError where models differ in them.
    """
    under = [base, *(model.base for model in models)]
    candidates = [[kept] if kept else list(models), [model for model in under if model][:1]]
    found = TaskFiles()
    for chosen in candidates:
        having = [model for model in chosen if (_own(model) / MODULES_FILE).is_file()]
        if not having:
            continue
        if foreign := _foreign_modules(_own(having[0])):
            found.notes.append(
                f"{having[0].ref} has the module {foreign}, which is code of its own: the output "
                "has no modules of sentence-transformers"
            )
            return found
        _agree(having, [_modules(model) for model in having], heads, found)
        return found
    return found


def _own(model: Opened) -> Path:
    """Return a model's own folder, which an adapter has beside its base's."""
    return model.adapter or model.folder


def _require_same_task(models: Sequence[Opened]) -> None:
    first = models[0]
    assert first.info is not None, "only models with one are compared"
    for other in models[1:]:
        assert other.info is not None, "only models with one are compared"
        pairs = [
            ("tasks", first.info.task, other.info.task),
            ("objectives", first.info.objective, other.info.objective),
            ("labels", _shown(first.info.head.labels), _shown(other.info.head.labels)),
            ("heads", first.info.head, other.info.head),
        ]
        for what, mine, theirs in pairs:
            if mine != theirs:
                raise CapabilityError(
                    f"the {what} of {first.ref} and {other.ref} differ: {mine} and {theirs}",
                    hint=WAY_OUT,
                )


def _shown(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - 8} more" if len(labels) > 8 else ""
    return (", ".join(labels[:8]) + more) or "none"


def _settings(folder: Path) -> dict[str, Path]:
    """Return the files of a version that belong to its task, by their place in it."""
    found = {}
    for file in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        place = file.relative_to(folder).as_posix()
        is_head = role_of(file) == "head"
        if not file.is_file() or place.startswith((".", MORE_TEMPLATES)):
            continue
        if is_head or (file.suffix == ".json" and place not in NOT_SETTINGS):
            found[place] = file
    return found


def _foreign_modules(folder: Path) -> str:
    """Return the first module that is none of sentence-transformers' own."""
    types = [str(module["type"]) for module in _modules_of(folder)]
    return next((name for name in types if not name.startswith(LIBRARY)), "")


def _modules(model: Opened) -> dict[str, Path]:
    """Return the files of sentence-transformers in a folder; the transformer's own lie beside."""
    folder = _own(model)
    found = {name: folder / name for name in SENTENCE_FILES if (folder / name).is_file()}
    for module in _modules_of(folder):
        inner = folder / Path(str(module["path"])).name
        if not module["path"] or not inner.is_dir():
            continue
        files = {f"{inner.name}/{file.name}": file for file in sorted(inner.iterdir())}
        if (
            any(name.endswith(".bin") for name in files)
            and f"{inner.name}/model.safetensors" not in files
        ):
            raise CapabilityError(
                f"the module {inner.name} of {model.ref} is pickled, and pickles are never read",
                hint="save it with safetensors, or leave it out: heads: omit",
            )
        found |= {n: f for n, f in files.items() if f.suffix in (".json", ".safetensors", ".txt")}
    return found


def _modules_of(folder: Path) -> list[Mapping[str, Any]]:
    try:
        modules: list[Mapping[str, Any]] = json.loads((folder / MODULES_FILE).read_bytes())
        for module in modules:
            module["type"], module["path"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CapabilityError(
            f"{MODULES_FILE} in {folder.name} does not parse", hint="save the model again"
        ) from error
    return modules


def _agree(
    models: Sequence[Opened], files: Sequence[Mapping[str, Path]], heads: str, found: TaskFiles
) -> None:
    """Take the files that all have alike, and average heads where that is asked for."""
    for name in sorted(set().union(*files)):
        lacking = [m.ref for m, own in zip(models, files, strict=True) if name not in own]
        if lacking:
            having = next(m.ref for m, own in zip(models, files, strict=True) if name in own)
            raise CapabilityError(f"{having} has {name}, and {lacking[0]} not", hint=WAY_OUT)
        same = [own[name] for own in files]
        differing = next((n for n, file in enumerate(same) if _differ(same[0], file)), None)
        if differing is None:
            found.copied[name] = same[0]
        elif heads == "average" and name == HEAD_TENSORS:
            found.made[name] = averaged(same, [model.ref for model in models])
            found.notes.append(f"{name} is the mean of those of the models")
        else:
            raise CapabilityError(
                f"{name} of {models[0].ref} and {models[differing].ref} differ"
                + _first_difference(same[0], same[differing]),
                hint=WAY_OUT,
            )


def _differ(one: Path, other: Path) -> bool:
    mine, theirs = one.read_bytes(), other.read_bytes()
    if mine == theirs:
        return False
    return one.suffix != ".json" or _content(mine) != _content(theirs)


def _content(data: bytes) -> Any:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return data
    if isinstance(value, dict):
        return {key: entry for key, entry in value.items() if key not in VOLATILE}
    return value


def _first_difference(one: Path, other: Path) -> str:
    """Return the first key that two files have otherwise, with its values where they are short."""
    mine, theirs = _content(one.read_bytes()), _content(other.read_bytes())
    if not isinstance(mine, dict) or not isinstance(theirs, dict):
        return ""
    key = next(k for k in [*mine, *theirs] if mine.get(k) != theirs.get(k))
    values = f"{mine.get(key)!r} and {theirs.get(key)!r}"
    return f" in {key}" + (f": {values}" if len(values) <= 80 else "")


def averaged(files: Sequence[Path], refs: Sequence[str]) -> bytes:
    """Return the mean of heads as safetensors; raises CapabilityError for other shapes."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file, save

    try:
        heads = [load_file(file) for file in files]
    except (OSError, SafetensorError) as error:
        raise IntegrityError(f"a {HEAD_TENSORS} cannot be read: {error}") from error
    shapes = [{name: tensor.shape for name, tensor in head.items()} for head in heads]
    other = next((n for n, shape in enumerate(shapes) if shape != shapes[0]), None)
    if other is not None:
        raise CapabilityError(
            f"the heads of {refs[0]} and {refs[other]} differ in shape", hint=WAY_OUT
        )
    with np.errstate(invalid="ignore"):
        means = {
            name: np.mean([head[name].astype(np.float64) for head in heads], axis=0)
            for name in heads[0]
        }
    if any(np.isnan(mean).any() for mean in means.values()):
        raise CapabilityError(
            "the heads have no mean: a label is certain in one and impossible in another",
            hint=WAY_OUT,
        )
    data: bytes = save({name: mean.astype(heads[0][name].dtype) for name, mean in means.items()})
    return data
