"""Everything of a merged model's folder that is not its weights: decided before, written after."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.heads import NEW_LAYERS
from adapterhub_lite.inference.artifact import ArtifactInfo, write_artifact_info
from adapterhub_lite.merging.folder.chat_templates import choose_template
from adapterhub_lite.merging.folder.config import (
    clean,
    head_of,
    labels_of,
    names_code,
    with_dtype,
    with_head,
    with_layers,
    with_vocabulary,
)
from adapterhub_lite.merging.folder.tasks import (
    WAY_OUT,
    TaskFiles,
    kept_model,
    sentence_files,
    task_files,
)
from adapterhub_lite.merging.folder.tokenizer import Files, as_json, tokenizer_files
from adapterhub_lite.merging.opening import Opened
from adapterhub_lite.merging.vocabulary.tokens import read_object
from adapterhub_lite.merging.vocabulary.vocabulary import Vocabulary
from adapterhub_lite.specs import Head

CONFIG: Final = "config.json"
GENERATION: Final = "generation_config.json"
CHAT: Final = "chat.json"
"""A version's chat template, with the SHA-256 of its text."""
PROCESSORS: Final = (
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
)
"""How images and sounds become inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFiles:
    """The files of the output beside its weights, by their place in the folder.

    ``config`` is what config.json says, ``config_from`` the model that it comes from, ``info`` what
    adapterhub.json says (None: a plain model). ``notes`` are for the user.
    """

    config: Mapping[str, Any]
    config_from: Opened
    copied: Mapping[str, Path]
    made: Mapping[str, bytes]
    info: ArtifactInfo | None
    notes: Sequence[str]


def plan_folder_files(
    models: Sequence[Opened],
    base: Opened | None,
    vocabulary: Vocabulary,
    *,
    heads: str = "refuse",
    chat_template: str | None = None,
    dtype: str | None = None,
    layers: Sequence[int] | None = None,
    tied: bool | None = None,
) -> FolderFiles:
    """Decide every file of the output but its weights and its card; nothing is written.

    ``models`` are what is merged, in order; the base is among them where it is merged as well, and
    then has to agree with the others. ``layers`` are, with slices, the
    numbers of the first model's layers that the output's are made of; ``tied`` whether the output
    layer is the embeddings (None: as the config says). Raises CapabilityError where the models
    disagree on task, labels or settings, RecipeError for ``heads`` or ``chat_template``.
    """
    kept = kept_model(heads, [*models, *([base] if base else [])])
    tasks = task_files(models, kept, heads)
    _require_same_labels(models, heads)
    donor = kept or _config_donor(models, base, heads)
    config = _config(donor, tasks, vocabulary, heads=heads, dtype=dtype, layers=layers, tied=tied)
    if tasks.info is None and head_of(config) == "none":
        found = sentence_files(models, base, kept, heads)
        tasks.copied |= found.copied
        tasks.notes += found.notes
    _require_ids(tasks, vocabulary)
    chat = choose_template(chat_template, models, base, vocabulary.ids if chat_template else {})
    template = chat.text if chat else _taught_template(tasks)
    files = tokenizer_files(vocabulary, template)
    files.add(tasks.copied, tasks.made)
    files.add(*_chat_settings(tasks, template))
    files.add(*_others(donor, vocabulary))
    files.made[CONFIG] = as_json(config)
    notes = [*vocabulary.notes, *tasks.notes, *([chat.note] if chat else [])]
    if names_code(donor.config):
        notes.append(f"the config of {donor.ref} names code of its own, which is left out")
    return FolderFiles(
        config=config,
        config_from=donor,
        copied=files.copied,
        made=files.made,
        info=tasks.info,
        notes=notes,
    )


def write_folder_files(folder: Path, files: FolderFiles) -> None:
    """Write the files beside the weights; raises OSError when the disk refuses."""
    for name, source in files.copied.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for name, data in files.made.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    if files.info is not None:
        write_artifact_info(folder, files.info)


def _config_donor(models: Sequence[Opened], base: Opened | None, heads: str) -> Opened:
    """Return the model whose config the output gets: the base, unless the models have a head."""
    if base is None or (heads != "omit" and head_of(models[0].config) != head_of(base.config)):
        return models[0]
    same = models[0].config.get("architectures") == base.config.get("architectures")
    return base if same or heads == "omit" else models[0]


def _config(
    donor: Opened,
    tasks: TaskFiles,
    vocabulary: Vocabulary,
    *,
    heads: str,
    dtype: str | None,
    layers: Sequence[int] | None,
    tied: bool | None,
) -> dict[str, Any]:
    config = with_dtype(clean(donor.config), dtype)
    config = with_vocabulary(
        config, vocabulary.rows, lambda number: vocabulary.new_id(donor, number)
    )
    if layers is not None:
        config = with_layers(config, layers)
    if heads == "omit" and head_of(config) != "none":
        config = with_head(config, Head())
    elif tasks.info is not None and tasks.info.head.kind in NEW_LAYERS:
        config = with_head(config, tasks.info.head)
    if tied is not None:
        config["tie_word_embeddings"] = tied
    return config


def _require_same_labels(models: Sequence[Opened], heads: str) -> None:
    """Refuse heads whose outputs mean different things."""
    if heads == "omit" or heads.startswith("keep "):
        return
    having = [model for model in models if labels_of(model.config)]
    for other in having[1:]:
        mine, theirs = labels_of(having[0].config), labels_of(other.config)
        if mine != theirs:
            differing = next((t for t in theirs if t not in mine), theirs[0])
            raise CapabilityError(
                f"the labels of {having[0].ref} and {other.ref} differ: {len(mine)} and "
                f"{len(theirs)}, like {differing!r}",
                hint=WAY_OUT,
            )


def _require_ids(tasks: TaskFiles, vocabulary: Vocabulary) -> None:
    """Refuse settings that hold ids of tokens, where the output gives them other ids."""
    if tasks.info is None or tasks.info.task not in ("text-generation", "text2text-generation"):
        return
    source = tasks.source
    assert source is not None, "a task comes from a model"
    mine = next(
        (t for m, t in zip(vocabulary.models, vocabulary.tokens, strict=True) if m is source), None
    )
    if mine is None or not vocabulary.moves(mine):
        return
    raise CapabilityError(
        f"the settings of {source.ref} name tokens by their ids, which the output's tokenizer "
        "changes",
        hint=f"take its tokenizer (tokenizer: {source.ref}), or leave its task out (heads: omit)",
    )


def _taught_template(tasks: TaskFiles) -> str | None:
    """Return the chat template that a version was trained with."""
    if CHAT not in tasks.copied:
        return None
    template = read_object(tasks.copied[CHAT], CHAT).get("template")
    return template if isinstance(template, str) else None


def _chat_settings(
    tasks: TaskFiles, template: str | None
) -> tuple[Mapping[str, Path], Mapping[str, bytes]]:
    """Let a version's settings name the template that the output has."""
    if CHAT not in tasks.copied or template is None:
        return {}, {}
    chat = read_object(tasks.copied[CHAT], CHAT)
    if chat.get("template") == template:
        return {}, {}
    told = {**chat, "template": template, "sha256": sha256(template.encode()).hexdigest()}
    return {}, {CHAT: as_json(told)}


def _others(
    donor: Opened, vocabulary: Vocabulary
) -> tuple[Mapping[str, Path], Mapping[str, bytes]]:
    """Return how text is generated, and how images become inputs, as the config's model has it."""
    files = Files()
    for name in (GENERATION, *PROCESSORS):
        file = donor.folder / name
        if not file.is_file():
            continue
        before = read_object(file, donor.ref)
        after = clean(before)
        if name == GENERATION:
            after = with_vocabulary(after, None, lambda n: vocabulary.new_id(donor, n))
        if after == before:
            files.copied[name] = file
        else:
            files.made[name] = as_json(after)
    return files.copied, files.made
