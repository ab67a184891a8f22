"""A whole model of ours becomes a plain folder for transformers, with the same outputs."""

import shutil
from pathlib import Path
from typing import Final

import torch

from adapterhub_lite.architecture import weight_files
from adapterhub_lite.bases import TOKENIZER_FILES
from adapterhub_lite.errors import CapabilityError, SelfTestError
from adapterhub_lite.heads import AUTO_CLASSES, auto_class
from adapterhub_lite.inference.artifact import ArtifactInfo, read_artifact_info
from adapterhub_lite.probe import answers, difference
from adapterhub_lite.specs import ResolvedBase
from adapterhub_lite.transformer import load_transformer, quiet_transformers

COPIED: Final = (
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    *TOKENIZER_FILES,
    "added_tokens.json",
    "chat_template.jinja",
    "modules.json",
    "1_Pooling/config.json",
)
"""Every file that transformers, and for embeddings sentence-transformers, reads."""


class TransformersExporter:
    """Writes what ``AutoModelFor….from_pretrained`` reads, and checks what was written."""

    def export(self, folder: Path, destination: Path, base: ResolvedBase | None) -> None:
        """Write ``destination``, an empty folder, from a version's folder.

        Raises CapabilityError for an adapter, and for a model whose head is not transformers' own;
        SelfTestError when transformers' outputs for the written folder differ.
        """
        info = read_artifact_info(folder)
        if base is not None:
            raise CapabilityError(
                "the version is an adapter, no whole model",
                hint="merge it first (ahl bake), or take --format peft",
            )
        if info.head.kind == "none" and info.task != "sentence-similarity":
            raise CapabilityError(
                f"the head of the objective {info.objective!r} has no form in transformers",
                hint="take --format setfit",
            )
        weights = [file.name for file in weight_files(folder, folder.name)]
        for name in (*COPIED, *weights):
            if (folder / name).is_file():
                (destination / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(folder / name, destination / name)
        _write_card(info, folder, destination)
        _compare(folder, destination, info)


def _write_card(info: ArtifactInfo, folder: Path, destination: Path) -> None:
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
        f"---\n{head}---\n\n# {destination.name}\n\n```python\n"
        f"from transformers import {model_class}\n\n"
        f'model = {model_class}.from_pretrained("this folder")\n```\n'
    )
    if info.task == "text-regression":
        shutil.copyfile(folder / "task.json", destination / "task.json")
        text += (
            "\nThe output is standardised: the value is output * deviation + mean; "
            "both are in `task.json`.\n"
        )
    (destination / "README.md").write_text(text, encoding="utf-8")


def _compare(folder: Path, destination: Path, info: ArtifactInfo) -> None:
    """Ask transformers' own model of the written folder, and ours of the version, the same."""
    with quiet_transformers():
        theirs = auto_class(info.head.kind).from_pretrained(destination, dtype=torch.float32)
    ours = load_transformer(folder, info.head, torch.float32, "cpu").model
    off = difference(answers(ours), answers(theirs.eval()))
    if not off <= 1e-5:
        raise SelfTestError(
            f"transformers' outputs for the written folder differ by {off:.1e}",
            hint="nothing was exported; please report this",
        )
