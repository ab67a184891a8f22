"""What the JSON files of a SetFit folder say, as far as it changes a prediction."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.pooling import Pooling, read_pooling

MAX_SIZE = 2**24
"""No architecture has a larger number in its config; for a larger one memory would be allocated."""

_BODY_SETTINGS: Final[Mapping[str, Sequence[Any]]] = {
    "do_lower_case": (False,),
    "transformer_task": ("feature-extraction",),
    "module_output_name": ("token_embeddings",),
    "modality_config": (
        {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    ),
    "processing_kwargs": (None, {}),
    "unpad_inputs": (None, False),
}
"""Settings of the sentence transformer that are understood, and the values that are."""

_TOLD = {
    "base_model": re.compile(r"^base_model: *['\"]?([\w./-]{1,200})['\"]? *$", re.MULTILINE),
    "license": re.compile(r"^license: *['\"]?([\w.+-]{1,60})['\"]? *$", re.MULTILINE),
}


@dataclass(frozen=True, slots=True)
class ForeignSettings:
    """How a SetFit folder's encoder is used, and what its labels are called.

    ``labels`` is empty when the folder does not say; ``max_length`` None when the tokenizer does.
    """

    labels: tuple[str, ...]
    pooling: Pooling
    max_length: int | None


def read_settings(folder: Path, ref: str) -> ForeignSettings:
    """Read the settings; BaseModelError for what does not parse or is not understood."""
    _read(folder / "config.json", ref)  # for its sizes only: transformers reads it again
    setfit = _read(folder / "config_setfit.json", ref)
    body = _read(folder / "sentence_bert_config.json", ref)
    max_length = body.pop("max_seq_length", None)
    if max_length is not None and not (isinstance(max_length, int) and max_length > 0):
        raise BaseModelError(f"sentence_bert_config.json of {ref} has no valid length", ref=ref)
    _check_body(body, ref)
    if _read(folder / "config_sentence_transformers.json", ref).get("default_prompt_name"):
        raise BaseModelError(
            f"{ref} puts a prompt before each text, which is not supported", ref=ref
        )
    pooling = _pooling(folder, ref)
    normalise = pooling.normalise or setfit.get("normalize_embeddings") is True
    return ForeignSettings(_labels(setfit, ref), Pooling(pooling.mode, normalise), max_length)


def told(folder: Path, key: str) -> str | None:
    """Return what the model card's front matter says of ``base_model`` or ``license``."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    _, _, rest = card.read_text(encoding="utf-8", errors="replace").partition("---\n")
    found = _TOLD[key].search(rest.partition("\n---")[0])
    return found[1] if found else None


def _labels(setfit: Mapping[str, Any], ref: str) -> tuple[str, ...]:
    labels = setfit.get("labels") or []
    if not isinstance(labels, list) or not all(isinstance(name, str | int) for name in labels):
        raise BaseModelError(f"config_setfit.json of {ref} has labels that are no names", ref=ref)
    return tuple(map(str, labels))


def _check_body(body: Mapping[str, Any], ref: str) -> None:
    for key, value in body.items():
        if key not in _BODY_SETTINGS or value not in _BODY_SETTINGS[key]:
            raise BaseModelError(
                f"the sentence transformer of {ref} is set to {key} = {value!r}, which is not "
                "supported",
                ref=ref,
            )


def _pooling(folder: Path, ref: str) -> Pooling:
    if not (folder / "modules.json").is_file():
        raise BaseModelError(
            f"{ref} is no SetFit folder: it has no modules.json",
            ref=ref,
            hint="give a folder that SetFitModel.save_pretrained wrote",
        )
    try:
        return read_pooling(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BaseModelError(f"the pooling of {ref} does not parse: {error}", ref=ref) from error


def _read(file: Path, ref: str) -> dict[str, Any]:
    """Read a JSON object; an absent file is an empty one."""
    if not file.is_file():
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8"), parse_int=_bounded)
    except (ValueError, RecursionError) as error:
        raise BaseModelError(f"{file.name} of {ref} does not parse: {error}", ref=ref) from error
    if not isinstance(values, dict):
        raise BaseModelError(f"{file.name} of {ref} is no JSON object", ref=ref)
    return values


def _bounded(digits: str) -> int:
    value = int(digits)
    if abs(value) > MAX_SIZE:
        raise ValueError(f"{value} is larger than any size of a model")
    return value
