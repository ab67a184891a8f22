"""A whole model of ours becomes a plain folder for transformers, with the same answers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from numpy.typing import NDArray
from transformers.models.auto import modeling_auto

from adapterhub_lite.architecture import HEAD_TABLES, weight_files
from adapterhub_lite.bases import TOKENIZER_FILES
from adapterhub_lite.deployment.asking import copy_files, folder_answers, write_longest_text
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.heads import AUTO_CLASSES, auto_class
from adapterhub_lite.inference.artifact import ArtifactInfo, read_artifact_info
from adapterhub_lite.protocols import Questions, Tolerance
from adapterhub_lite.specs import Params, ResolvedBase
from adapterhub_lite.transformer import load_tokenizer, quiet_transformers

COPIED: Final = (
    "config.json",
    "model.safetensors.index.json",
    *TOKENIZER_FILES,
    "added_tokens.json",
    "chat_template.jinja",
    "modules.json",
    "1_Pooling/config.json",
)
"""Every file that transformers, and for embeddings sentence-transformers, reads."""


class FolderExporter:
    """Writes what ``AutoModelFor….from_pretrained`` and ``pipeline`` read."""

    def export(
        self, folder: Path, destination: Path, base: ResolvedBase | None, params: Params
    ) -> None:
        """Write ``destination``, an empty folder, from a whole model's folder.

        Raises CapabilityError for a model whose head is not transformers' own.
        """
        info = read_artifact_info(folder)
        if info.head.kind == "none" and info.task != "sentence-similarity":
            raise CapabilityError(
                f"the head of the objective {info.objective!r} has no form in transformers",
                hint="take setfit",
            )
        weights = [file.name for file in weight_files(folder, folder.name)]
        copy_files(folder, destination, (*COPIED, *weights))
        if info.task == "text-regression":
            copy_files(folder, destination, ("task.json",))  # mean and deviation of the targets
        _name_class(info, destination)
        write_longest_text(folder, destination)
        _write_generation(folder, destination)
        _write_card(info, destination)

    def answers(self, destination: Path, asked: Questions, params: Params) -> list[NDArray[Any]]:
        """Load the folder as a stranger does; a classifier is asked through ``pipeline``."""
        if asked.task == "text-classification":
            return _by_pipeline(destination, asked)
        with quiet_transformers():
            model = auto_class(asked.head.kind).from_pretrained(
                destination, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
            )
        return folder_answers(model.eval(), load_tokenizer(destination), destination, asked)

    def tolerance(self, params: Params) -> Tolerance:
        """Return the default: the weights are the version's own, or merged into its base."""
        return Tolerance()

    def usage(self, destination: Path) -> str:
        """Return a line of a shell."""
        config = json.loads((destination / "config.json").read_text(encoding="utf-8"))
        (named,) = config["architectures"]
        program = f"from transformers import {named}; {named}.from_pretrained('{destination}')"
        return f'python -c "{program}"'


def _by_pipeline(destination: Path, asked: Questions) -> list[NDArray[Any]]:
    """Return logits in the order of the version's labels, found by their names."""
    import numpy as np
    from transformers import pipeline

    with quiet_transformers():
        classify = pipeline(
            "text-classification",
            model=str(destination),
            dtype=torch.float32,
            device="cpu",
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )
        texts = [
            item if isinstance(item, str) else {"text": item[0], "text_pair": item[1]}
            for item in asked.inputs
        ]
        found = [
            classify(text, top_k=None, function_to_apply="none", truncation=True) for text in texts
        ]
    by_label = [{one["label"]: one["score"] for one in scores} for scores in found]
    return [np.array([scores[label] for label in asked.head.labels]) for scores in by_label]


def _name_class(info: ArtifactInfo, destination: Path) -> None:
    """Let the config name the model's class, which may have got its head by training."""
    file = destination / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    named = getattr(modeling_auto, HEAD_TABLES[info.head.kind])[config["model_type"]]
    config["architectures"] = [named if isinstance(named, str) else named[0]]
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    file.write_text(text, encoding="utf-8")


def _write_generation(folder: Path, destination: Path) -> None:
    """Write ``generation_config.json`` of how the version generates, where it does."""
    settings: Mapping[str, Any] | None = None
    for name in ("chat.json", "task.json"):
        if (folder / name).is_file():
            settings = settings or json.loads((folder / name).read_text(encoding="utf-8")).get(
                "generation"
            )
    if settings is None:
        return
    config = json.loads((destination / "config.json").read_text(encoding="utf-8"))
    sampled = settings["temperature"] > 0
    written = {
        **{
            key: config[key]
            for key in ("bos_token_id", "pad_token_id", "decoder_start_token_id")
            if config.get(key) is not None
        },
        "eos_token_id": settings["stops"],
        "max_new_tokens": settings["max_new_tokens"],
        "num_beams": settings["num_beams"],
        "do_sample": sampled,
        **({"temperature": settings["temperature"], "top_p": settings["top_p"]} if sampled else {}),
    }
    text = json.dumps(written, indent=2, sort_keys=True) + "\n"
    (destination / "generation_config.json").write_text(text, encoding="utf-8")


def _write_card(info: ArtifactInfo, destination: Path) -> None:
    """Write ``README.md``: the front matter that the hub reads, and how to load the folder."""
    import yaml

    front = {
        "library_name": "transformers",
        "pipeline_tag": info.task,
        "tags": ["adapterhub-lite", info.objective],
    }
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    model_class = AUTO_CLASSES[info.head.kind]
    text = (
        f"---\n{head}---\n\n# {info.objective}\n\n```python\n"
        f"from transformers import {model_class}\n\n"
        f'model = {model_class}.from_pretrained("this folder")\n```\n'
    )
    if info.task == "text-regression":
        text += (
            "\nThe output is standardised: the value is output * deviation + mean; "
            "both are in `task.json`.\n"
        )
    (destination / "README.md").write_text(text, encoding="utf-8")
