"""A version of ours becomes a folder that plain PEFT loads, with the same outputs."""

import json
import shutil
from pathlib import Path
from typing import Any, Final

import torch
from peft import PeftModel

from adapterhub_lite.bases import TOKENIZER_FILES
from adapterhub_lite.errors import CapabilityError, SelfTestError
from adapterhub_lite.heads import AUTO_CLASSES
from adapterhub_lite.inference.artifact import ArtifactInfo, read_artifact_info
from adapterhub_lite.probe import answers, difference
from adapterhub_lite.specs import ResolvedBase
from adapterhub_lite.transformer import load_transformer
from adapterhub_lite.tuners.files import CONFIG, WEIGHTS, read_config
from adapterhub_lite.tuners.wrapping import quiet_peft
from adapterhub_lite_peft.method import PeftMethod
from adapterhub_lite_peft.table import ENTRIES

TOLERANCE: Final = 1e-5
"""How far PEFT's outputs may be from ours, of the largest: the order of sums may differ."""
COPIED: Final = (*TOKENIZER_FILES, "added_tokens.json", "chat_template.jinja")


class PeftExporter:
    """Writes what ``PeftModel.from_pretrained`` reads, and checks what was written."""

    def export(self, folder: Path, destination: Path, base: ResolvedBase | None) -> None:
        """Write ``destination``, an empty folder, from a version's folder.

        Raises CapabilityError for what is no adapter of PEFT, and SelfTestError when PEFT's outputs
        for the written folder differ.
        """
        info = read_artifact_info(folder)
        if base is None:
            raise CapabilityError(
                "the version is a whole model, no adapter", hint="take --format transformers"
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
        for name in (WEIGHTS, *(name for name in COPIED if (folder / name).is_file())):
            shutil.copyfile(folder / name, destination / name)
        _write_card(info, destination, named)
        _compare(folder, destination, info, base)


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
        f"---\n{head}---\n\n# {destination.name}\n\n```python\n"
        f"from peft import PeftModel\nfrom transformers import {model_class}\n\n"
        f"base = {model_class}.from_pretrained({named!r}{labels})\n"
        'model = PeftModel.from_pretrained(base, "this folder")\n```\n'
    )
    if info.head.labels:
        names = "\n".join(f"{number}. {label}" for number, label in enumerate(info.head.labels))
        text += f"\nThe outputs, in order:\n\n{names}\n"
    (destination / "README.md").write_text(text, encoding="utf-8")


def _compare(folder: Path, destination: Path, info: ArtifactInfo, base: ResolvedBase) -> None:
    """Ask PEFT's model of the written folder, and ours of the version, the same."""

    def fresh() -> Any:
        return load_transformer(Path(base.path), info.head, torch.float32, "cpu")

    with quiet_peft():
        theirs = PeftModel.from_pretrained(fresh().model, destination).eval()
    ours = PeftMethod().load(fresh(), folder)
    off = difference(answers(ours.model), answers(theirs))
    if not off <= TOLERANCE:
        raise SelfTestError(
            f"PEFT's outputs for the written folder differ by {off:.1e}",
            hint="nothing was exported; please report this",
        )
