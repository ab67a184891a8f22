"""A version of ours becomes a folder that plain PEFT loads, with the same outputs."""

import json
from pathlib import Path
from typing import Any, Final

import torch
from numpy.typing import NDArray
from peft import PeftModel

from adapterhub_lite.bases import TOKENIZER_FILES
from adapterhub_lite.deployment.asking import copy_files, folder_answers, write_longest_text
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.heads import AUTO_CLASSES
from adapterhub_lite.inference.artifact import ArtifactInfo, read_artifact_info
from adapterhub_lite.protocols import Questions, Tolerance
from adapterhub_lite.specs import Params, ResolvedBase
from adapterhub_lite.transformer import load_tokenizer, load_transformer
from adapterhub_lite.tuners.files import CONFIG, WEIGHTS, read_config
from adapterhub_lite.tuners.wrapping import quiet_peft
from adapterhub_lite_peft.table import ENTRIES

COPIED: Final = (
    *TOKENIZER_FILES,
    "added_tokens.json",
    "chat_template.jinja",
    "modules.json",
    "1_Pooling/config.json",
)


class PeftExporter:
    """Writes what ``PeftModel.from_pretrained`` reads."""

    def export(
        self, folder: Path, destination: Path, base: ResolvedBase | None, params: Params
    ) -> None:
        """Write ``destination``, an empty folder, from an adapter's folder.

        Raises CapabilityError for a method that PEFT does not have.
        """
        assert base is not None, "the spec takes adapters alone"
        info = read_artifact_info(folder)
        if info.head.kind == "none" and info.task != "sentence-similarity":
            raise CapabilityError(
                f"the head of the objective {info.objective!r} has no form in PEFT",
                hint="take setfit, which the adapter is merged for",
            )
        if info.method not in {entry.name for entry in ENTRIES.values()}:
            raise CapabilityError(
                f"PEFT has no form for the method {info.method!r}",
                hint="it is served by adapterhub-lite; PEFT's own methods, like lora, have one",
            )
        named = (
            base.ref.removeprefix("hub:").partition("@")[0] if base.source == "hub" else base.ref
        )
        _write_config(folder, destination, base, named)
        copy_files(folder, destination, (WEIGHTS, *COPIED))
        if info.task == "text-regression":
            copy_files(folder, destination, ("task.json",))  # mean and deviation of the targets
        write_longest_text(folder, destination)
        _write_card(info, destination, named)

    def answers(self, destination: Path, asked: Questions, params: Params) -> list[NDArray[Any]]:
        """Load the folder by PEFT onto a fresh base, and ask it."""
        assert asked.base is not None, "the spec takes adapters alone"
        base = load_transformer(Path(asked.base.path), asked.head, torch.float32, "cpu")
        with quiet_peft():
            model = PeftModel.from_pretrained(base.model, destination).eval()
        return folder_answers(model, load_tokenizer(destination), destination, asked)

    def tolerance(self, params: Params) -> Tolerance:
        """Return the default: the adapter's files are the version's own."""
        return Tolerance()

    def usage(self, destination: Path) -> str:
        """Return a line of Python."""
        return f'PeftModel.from_pretrained(base, "{destination}")  # see its README.md'


def _write_config(folder: Path, destination: Path, base: ResolvedBase, named: str) -> None:
    """Write the adapter's config with its base's name, which ours leaves to the manifest."""
    config = read_config(folder)
    revision = base.revision if base.source == "hub" else None
    config |= {"base_model_name_or_path": named, "revision": revision or None}
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (destination / CONFIG).write_text(text, encoding="utf-8")


def _write_card(info: ArtifactInfo, destination: Path, named: str) -> None:
    """Write ``README.md``: the front matter that the hub reads, and how to load the folder."""
    import yaml

    front = {
        "base_model": named,
        "library_name": "peft",
        "pipeline_tag": info.task,
        "tags": ["adapterhub-lite", info.objective, info.method],
    }
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    model_class = AUTO_CLASSES[info.head.kind]
    labels = f", num_labels={len(info.head.labels)}" if info.head.labels else ""
    text = (
        f"---\n{head}---\n\n# {info.method} adapter\n\n```python\n"
        f"from peft import PeftModel\nfrom transformers import {model_class}\n\n"
        f"base = {model_class}.from_pretrained({named!r}{labels})\n"
        'model = PeftModel.from_pretrained(base, "this folder")\n```\n'
    )
    if info.head.labels:
        names = "\n".join(f"{number}. {label}" for number, label in enumerate(info.head.labels))
        text += f"\nThe outputs, in order:\n\n{names}\n"
    (destination / "README.md").write_text(text, encoding="utf-8")
