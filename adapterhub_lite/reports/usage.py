"""How a version is used, as the card shows it: by adapterhub-lite, and by the field's libraries."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from adapterhub_lite.heads import AUTO_CLASSES
from adapterhub_lite.specs import Head, RowKind

if TYPE_CHECKING:
    from adapterhub_lite.training.plan import Plan

EXAMPLES: Final[Mapping[RowKind, str]] = {
    "labelled-text": '["a text"]',
    "tagged-words": '[["some", "words"]]',
    "valued-text": '["a text"]',
    "question": '[("a question?", "the context that answers it")]',
    "document": '["the beginning of a text"]',
    "dialogue": '[[{"role": "user", "content": "a question?"}]]',
    "source-target": '["a source text"]',
    "similar-texts": '["a text"]',
}
"""Row kind → what ``predict`` is called with."""
FOLDER: Final = "path/to/this/folder"


def library_of(folder: Path, plan: "Plan") -> str:
    """Return the library that loads a version's files as they are, by the hub's names."""
    if (folder / "adapter_config.json").is_file():
        return "peft" if _is_pefts_own(folder) else "adapterhub-lite"
    if (folder / "modules.json").is_file():
        return "sentence-transformers"
    has_head = plan.head.kind != "none" and (folder / "config.json").is_file()
    return "transformers" if has_head else "adapterhub-lite"


def _is_pefts_own(folder: Path) -> bool:
    """Say whether PEFT knows this kind of adapter without a plugin of ours."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    kind = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["peft_type"]
    config = PEFT_TYPE_TO_CONFIG_MAPPING.get(kind)
    return config is not None and config.__module__.startswith("peft.")


def usage(folder: Path, plan: "Plan", name: str) -> str:
    """Return the card's section on use."""
    ours = ours_code(name, _asked(plan))
    parts = ["## Use", code_block(ours)]
    theirs = theirs_code(library_of(folder, plan), plan.head, plan.base.ref)
    if theirs:
        parts += ["Without adapterhub-lite:", code_block(theirs)]
    if plan.objective.spec.task == "text-regression" and theirs:
        parts.append(
            "The model's output is in standard deviations from the mean of the training values; "
            "both are in `task.json`."
        )
    return "\n\n".join(parts)


def _asked(plan: "Plan") -> str:
    rows = plan.data.train.inputs
    first = rows[0] if rows else ""
    kind = plan.objective.spec.rows
    if kind == "dialogue" and isinstance(first, str):
        return '["a prompt"]'
    if kind in ("labelled-text", "valued-text") and not isinstance(first, str):
        return '[("a text", "its second text")]'
    return EXAMPLES[kind]


def ours_code(name: str, asked: str) -> str:
    """Return the lines that ask a version with adapterhub-lite."""
    return f'import adapterhub_lite\n\nadapterhub_lite.load("{name}").predict({asked})'


def code_block(text: str) -> str:
    """Return lines of Python as Markdown."""
    return f"```python\n{text}\n```"


def theirs_code(library: str, head: Head, base: str) -> str:
    """Return the lines that load a version's files with the field's own libraries, if any do."""
    return "\n".join(_theirs(library, head, base))


def _theirs(library: str, head: Head, base: str) -> Iterator[str]:
    auto, labels = AUTO_CLASSES[head.kind], len(head.labels)
    sized = f", num_labels={labels}" if labels else ""
    match library:
        case "peft":
            yield "from peft import PeftModel"
            yield f"from transformers import {auto}, AutoTokenizer\n"
            yield f"base = {auto}.from_pretrained({json.dumps(base, ensure_ascii=False)}{sized})"
            yield f'model = PeftModel.from_pretrained(base, "{FOLDER}")'
            yield f'tokenizer = AutoTokenizer.from_pretrained("{FOLDER}")'
        case "sentence-transformers":
            yield "from sentence_transformers import SentenceTransformer\n"
            yield f'SentenceTransformer("{FOLDER}").encode(["a text"])'
        case "transformers":
            yield f"from transformers import {auto}, AutoTokenizer\n"
            yield f'model = {auto}.from_pretrained("{FOLDER}")'
            yield f'tokenizer = AutoTokenizer.from_pretrained("{FOLDER}")'
