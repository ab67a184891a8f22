"""Folders of models and of versions of ours, as training leaves them, without training."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSequenceClassification

from adapterhub_lite.inference.artifact import ArtifactInfo, read_artifact_info, write_artifact_info
from adapterhub_lite.merging.folder.files import FolderFiles, plan_folder_files
from adapterhub_lite.merging.opening import Opened
from adapterhub_lite.merging.vocabulary.vocabulary import plan_vocabulary
from adapterhub_lite.recipes.merge import TokenizerSection
from adapterhub_lite.specs import Head
from adapterhub_lite.streaming.sources import FolderSource
from adapterhub_lite.testing import write_tiny_model

LABELS = ("fruit", "tool", "music")
ONE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
TWO = "{% for m in messages %}{{ m['role'] }}{% endfor %}"
"""Two chat templates."""


def opened(folder: Path, **known: Any) -> Opened:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    has_info = (folder / "adapterhub.json").is_file()
    info = read_artifact_info(folder) if has_info else None
    source = FolderSource(folder, folder.name)
    return Opened(ref=folder.name, source=source, folder=folder, config=config, info=info, **known)


def edit(file: Path, **changes: Any) -> None:
    """Change a JSON file; a key with None goes."""
    value = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    value = {**value, **changes}
    kept = {key: entry for key, entry in value.items() if entry is not None}
    file.write_text(json.dumps(kept), encoding="utf-8")


def llama(folder: Path, seed: int = 0, **config: Any) -> Path:
    return write_tiny_model(folder, "llama", seed, **config)


def planned(
    models: Sequence[Path | Opened],
    base: Path | Opened | None = None,
    tokenizer: TokenizerSection | None = None,
    **options: Any,
) -> FolderFiles:
    found = [opened(model) if isinstance(model, Path) else model for model in models]
    under = opened(base) if isinstance(base, Path) else base
    return plan_folder_files(found, under, plan_vocabulary(found, under, tokenizer), **options)


def config_of(files: FolderFiles) -> Any:
    return json.loads(files.made["config.json"])


def rename_words(folder: Path, order: Sequence[int]) -> None:
    """Give the tokenizer's tokens other ids."""
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    ids = {token: order[number] for token, number in tokenizer["model"]["vocab"].items()}
    tokenizer["model"]["vocab"] = ids
    for entry in tokenizer["added_tokens"]:
        entry["id"] = ids[entry["content"]]
    for token in tokenizer["post_processor"]["special_tokens"].values():
        token["ids"] = [ids[token["id"]]]
    file.write_text(json.dumps(tokenizer), encoding="utf-8")


def classifier(folder: Path, seed: int, labels: Sequence[str] = LABELS, **task: Any) -> Path:
    """Write a version of ours: a whole classifier, as training leaves it."""
    write_tiny_model(folder, "bert", seed)
    config = AutoConfig.from_pretrained(folder, num_labels=len(labels))
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    torch.manual_seed(seed)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    head = Head(kind="sequence-classification", labels=tuple(labels), problem="single-label")
    info = ArtifactInfo(
        task="text-classification", method="full", objective="classification", head=head
    )
    write_artifact_info(folder, info)
    told = {"labels": list(labels), "multi_label": False, "threshold": 0.5, "max_length": 32}
    edit(folder / "task.json", **{**told, **task})
    (folder / "README.md").write_text("a card", encoding="utf-8")
    return folder


def mean_state(folders: Sequence[Path]) -> dict[str, torch.Tensor]:
    states = [load_file(folder / "model.safetensors") for folder in folders]
    return {name: sum(s[name] for s in states) / len(states) for name in states[0]}  # type: ignore[misc]


def few_shot(folder: Path, seed: int, classes: Sequence[str] = ("no", "yes")) -> Path:
    """Write a version with a logistic head beside its transformer."""
    write_tiny_model(folder, "bert", seed)
    info = ArtifactInfo(
        task="text-classification",
        method="full",
        objective="contrastive",
        head=Head(labels=tuple(classes)),
    )
    write_artifact_info(folder, info)
    draw = np.random.default_rng(seed)
    head = {"coef": draw.normal(size=(1, 32)), "intercept": draw.normal(size=1)}
    save_arrays(head, folder / "head.safetensors")
    edit(
        folder / "head.json", kind="logistic", classes=list(classes), link="softmax", n_features=32
    )
    edit(folder / "scorer.json", max_length=32, threshold=0.5)
    return with_modules(folder)


def with_modules(
    folder: Path, mode: str = "mean", kind: str = "sentence_transformers.models."
) -> Path:
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{kind}Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{kind}Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (folder / "1_Pooling").mkdir()
    edit(folder / "1_Pooling/config.json", word_embedding_dimension=32, pooling_mode=mode)
    return folder


def talker(folder: Path, seed: int, template: str = ONE) -> Path:
    """Write a version that answers, with the chat template it was trained with."""
    llama(folder, seed)
    info = ArtifactInfo(
        task="text-generation", method="full", objective="sft", head=Head(kind="causal-lm")
    )
    write_artifact_info(folder, info)
    edit(
        folder / "task.json",
        max_length=64,
        min_prompt=8,
        learn="assistant",
        score_generations=False,
    )
    generation = {"max_new_tokens": 3, "num_beams": 1, "temperature": 0.0, "top_p": 1.0, "seed": 0}
    digest = sha256(template.encode()).hexdigest()
    edit(
        folder / "chat.json",
        template=template,
        sha256=digest,
        generation={**generation, "stops": [3]},
    )
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder
