"""Take a stranger's model folder in: known files, within limits, and settings that are understood.

What is copied has been judged only so far that transformers may read it from here, and no further.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.architecture import MALFORMED, TensorInfo, weight_files
from adapterhub_lite.bases import TOKENIZER_FILES
from adapterhub_lite.deployment.choices import MAX_LABELS
from adapterhub_lite.deployment.pickled import INDEX, PICKLED, convert_folder, pickled_weights
from adapterhub_lite.deployment.untrusted import MIB, check_header, copy_file, exists
from adapterhub_lite.deployment.weights import copy_weights, refuse_infinite
from adapterhub_lite.errors import BaseModelError, CapabilityError
from adapterhub_lite.pooling import Pooling, read_pooling

SMALL: Final = MIB
LARGE: Final = 64 * MIB
WEIGHTS: Final = 64 * 2**10 * MIB
MAX_SIZE: Final = 2**24
"""No architecture has a larger number in its config; for a larger one memory would be allocated."""
MAX_LAYERS: Final = 1024
FILES: Final[Mapping[str, int]] = {
    "README.md": SMALL,
    "config.json": SMALL,
    "config_sentence_transformers.json": SMALL,
    "modules.json": SMALL,
    "sentence_bert_config.json": SMALL,
    "1_Pooling/config.json": SMALL,
    "model.safetensors.index.json": LARGE,
    "added_tokens.json": LARGE,
    **dict.fromkeys(TOKENIZER_FILES, LARGE),
}
"""Every file of a model that is read, the weights aside, and how large it may be."""

_WEIGHTS: Final = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
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
"""Settings of a sentence transformer that are understood, and the values that are."""
_TOLD: Final = {
    "base_model": re.compile(r"^base_model: *['\"]?([\w./-]{1,200})['\"]? *$", re.MULTILINE),
    "license": re.compile(r"^license: *['\"]?([\w.+-]{1,60})['\"]? *$", re.MULTILINE),
}


def stage_model(
    source: Path, destination: Path, more: Mapping[str, int], *, convert: bool = False
) -> dict[str, TensorInfo]:
    """Copy the known files of a model folder, and ``more`` of it; return the weights' tensors.

    Raises BaseModelError when one is a link that leaves the folder, no regular file or too large,
    or when the weights are missing, have no valid header, or numbers that are not finite; and
    CapabilityError for pickled ones unless ``convert`` allows it.
    """
    ref = str(source)
    if not source.is_dir():
        raise BaseModelError(f"there is no folder {source}", ref=ref)
    for name, limit in {**FILES, **more}.items():
        if exists(source / name):
            copy_file(source, name, limit, destination)
    if pickled_weights(source) is not None:
        _convert(source, destination, convert)
    else:
        _copy_weights(source, destination)
    files = weight_files(destination, ref)
    return {name: info for file in files for name, info in check_header(file, ref).items()}


def _copy_weights(source: Path, destination: Path) -> None:
    for file in weight_files(source, str(source)):
        if not _WEIGHTS.fullmatch(file.name):
            raise BaseModelError(f"{file.name!r} is no name for weights", ref=str(source))
        copy_weights(source, file.name, WEIGHTS, destination)


def _convert(source: Path, destination: Path, allowed: bool) -> None:
    """Convert pickled weights in isolation; links out of the folder are refused before that."""
    if not allowed:
        raise CapabilityError(
            f"the weights in {source} are pickled, and loading a pickle runs whatever is in it",
            hint="add --convert-pickle: their numbers are read by an isolated process, and nothing "
            "in them is run",
        )
    pickled = destination / "pickled"
    pickled.mkdir()
    for file in sorted(source.iterdir()):
        if PICKLED.fullmatch(file.name) or file.name == INDEX:
            copy_file(source, file.name, WEIGHTS, pickled)
    converted = convert_folder(pickled, destination / "converted", str(source))
    for file in converted.iterdir():
        if file.suffix == ".safetensors":
            refuse_infinite(file, str(source))
        file.rename(destination / file.name)


def read_json(file: Path, ref: str) -> dict[str, Any]:
    """Read a JSON object, in which no number is beyond a model's; an absent file is an empty one.

    Raises BaseModelError for what does not parse, or is no object.
    """
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


def read_model_config(folder: Path, ref: str, most_layers: int = MAX_LAYERS) -> dict[str, Any]:
    """Read ``config.json``, in which no number makes transformers build more than a model has.

    Layers and labels are made from a number alone, before any weight is looked at: the files'
    number of tensors is the most layers that there can be. Raises BaseModelError.
    """
    most = {"layer": min(MAX_LAYERS, most_layers), "labels": MAX_LABELS}
    config = read_json(folder / "config.json", ref)
    for key, value in _numbers(config):
        if any(part in key and value > limit for part, limit in most.items()):
            raise BaseModelError(f"config.json of {ref} has {key} = {value}", ref=ref)
    return config


def _numbers(values: Any, key: str = "") -> Iterator[tuple[str, int]]:
    """Yield every whole number of a JSON value, with the key that it stands under."""
    if isinstance(values, dict):
        for name, value in values.items():
            yield from _numbers(value, name)
    elif isinstance(values, list):
        for value in values:
            yield from _numbers(value, key)
    elif isinstance(values, int):
        yield key, values


def read_sentence_settings(folder: Path, ref: str) -> tuple[Pooling, int | None]:
    """Return a sentence transformer's pooling, and its longest text in tokens where it says so.

    Raises BaseModelError for what does not parse, or would change the embeddings and is not
    supported.
    """
    body = read_json(folder / "sentence_bert_config.json", ref)
    longest = body.pop("max_seq_length", None)
    if longest is not None and not (isinstance(longest, int) and longest > 0):
        raise BaseModelError(f"sentence_bert_config.json of {ref} has no valid length", ref=ref)
    for key, value in body.items():
        if key not in _BODY_SETTINGS or value not in _BODY_SETTINGS[key]:
            raise BaseModelError(
                f"the sentence transformer of {ref} is set to {key} = {value!r}, which is not "
                "supported",
                ref=ref,
            )
    if read_json(folder / "config_sentence_transformers.json", ref).get("default_prompt_name"):
        raise BaseModelError(
            f"{ref} puts a prompt before each text, which is not supported", ref=ref
        )
    try:
        return read_pooling(folder), longest
    except (OSError, *MALFORMED) as error:
        raise BaseModelError(f"the pooling of {ref} does not parse: {error}", ref=ref) from error


def told(folder: Path, key: str) -> str | None:
    """Return what the model card's front matter says of ``base_model`` or ``license``."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    _, _, rest = card.read_text(encoding="utf-8", errors="replace").partition("---\n")
    found = _TOLD[key].search(rest.partition("\n---")[0])
    return found[1] if found else None
