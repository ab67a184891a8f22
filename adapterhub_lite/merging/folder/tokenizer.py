"""The output's tokenizer files: copied byte for byte where nothing in them changes."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from adapterhub_lite.merging.folder.chat_templates import (
    MORE_TEMPLATES,
    OLD_TEMPLATE_FILE,
    TEMPLATE_FILE,
)
from adapterhub_lite.merging.folder.config import clean, names_code
from adapterhub_lite.merging.vocabulary.tokens import ALL_FILES, CONFIG, TOKENIZER, ModelTokens
from adapterhub_lite.merging.vocabulary.union import United
from adapterhub_lite.merging.vocabulary.vocabulary import Vocabulary

WITH_MADE = (CONFIG, "special_tokens_map.json")
"""What is kept beside a tokenizer that was made: other files would tell of fewer tokens."""


@dataclass(slots=True, kw_only=True)
class Files:
    """Files by their place in the folder: copied, or made."""

    copied: dict[str, Path] = field(default_factory=dict)
    made: dict[str, bytes] = field(default_factory=dict)

    def add(self, copied: Mapping[str, Path], made: Mapping[str, bytes]) -> None:
        """Take more files; what is made wins over what is copied."""
        self.copied |= copied
        self.made |= made
        for name in self.made:
            self.copied.pop(name, None)


def tokenizer_files(vocabulary: Vocabulary, template: str | None) -> Files:
    """Return the files of the output's tokenizer; ``template`` replaces its chat template."""
    chosen = None if vocabulary.chosen is None else vocabulary.tokens[vocabulary.chosen]
    if chosen is None:
        return Files()
    files = Files(copied=_present(chosen, vocabulary.made))
    config = _config(chosen, vocabulary.made, template)
    if config != chosen.config:
        files.made[CONFIG] = as_json(config)
    if vocabulary.made is not None:
        files.made[TOKENIZER] = vocabulary.made.text.encode()
    if template is not None:
        files.made[TEMPLATE_FILE] = template.encode()
    else:
        files.copied |= _templates(chosen.folder)
    files.add({}, {})
    return files


def as_json(value: Any) -> bytes:
    """Return JSON as transformers writes it: indented, in UTF-8."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _present(chosen: ModelTokens, made: United | None) -> dict[str, Path]:
    names = ALL_FILES if made is None else WITH_MADE
    return {name: chosen.folder / name for name in names if (chosen.folder / name).is_file()}


def _templates(folder: Path) -> dict[str, Path]:
    files = [folder / name for name in (TEMPLATE_FILE, OLD_TEMPLATE_FILE)]
    files += sorted((folder / MORE_TEMPLATES).glob("*.jinja"))
    return {file.relative_to(folder).as_posix(): file for file in files if file.is_file()}


def _config(chosen: ModelTokens, made: United | None, template: str | None) -> dict[str, Any]:
    config = dict(chosen.config)
    if names_code(config):
        config = clean(config)
    if template is not None:
        config.pop("chat_template", None)
    if made is not None and isinstance(config.get("added_tokens_decoder"), Mapping):
        config["added_tokens_decoder"] = {
            **config["added_tokens_decoder"],
            **{str(made.ids[name]): asdict(token) for name, token in made.added.items()},
        }
    return config
