"""What a base model is, told from ``config.json`` and tensor headers: no weights, no torch."""

import json
import re
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.specs import Family, HeadKind

MAX_HEADER_BYTES = 64 * 1024 * 1024
MAX_DIMENSIONS: Final = 64
"""As many as torch has."""
HEAD_TABLES: Final[Mapping[HeadKind, str]] = {
    "none": "MODEL_MAPPING_NAMES",
    "sequence-classification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "token-classification": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    "question-answering": "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
    "causal-lm": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "seq2seq-lm": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
}
"""Head → transformers' own table of the model classes that have it."""
OUTPUT_LAYERS: Final = ("lm_head.", "embed_out.", "output.", "output_projection.", "head.")
"""Beginnings of the names of a language model's output layer."""
MALFORMED = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What reading somebody's JSON raises when it is not what it should be."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor's dtype, in safetensors' spelling, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


@dataclass(frozen=True)
class Architecture:
    """A base model's kind and size, and every tensor in its files.

    ``layer_prefix`` is what stands before a layer's number in tensor names ("encoder.layer.").
    ``tied``: the config does not deny that the output layer is the embeddings.
    """

    folder: Path
    model_type: str
    family: Family
    hidden_size: int
    layers: int
    tensors: Mapping[str, TensorInfo]
    layer_prefix: str
    sentence_transformer: bool
    tied: bool

    @cached_property
    def parameters(self) -> int:
        """How many numbers all tensors hold."""
        return sum(info.size for info in self.tensors.values())

    def has_head(self, kind: HeadKind) -> bool:
        """Say whether transformers has a model class of this type with such a head."""
        from transformers.models.auto import modeling_auto

        table = getattr(modeling_auto, HEAD_TABLES[kind])
        return self.model_type in table

    def lacks_head(self, kind: HeadKind) -> bool:
        """Say whether a decoder's files hold the bare transformer, and not the output layer.

        Where embeddings are tied the output layer is no tensor of its own, and nothing is lacking.
        """
        if kind != "causal-lm" or self.tied:
            return False
        # With its head the transformer is one of two parts: "model.layers.0", beside "lm_head".
        bare = self.layer_prefix.count(".") == 1
        return bare and not any(name.startswith(OUTPUT_LAYERS) for name in self.tensors)

    def layer_parameters(self, layer: int) -> int:
        """How many numbers the tensors of one layer hold."""
        start = f"{self.layer_prefix}{layer}."
        return sum(info.size for name, info in self.tensors.items() if name.startswith(start))


def read_architecture(folder: Path, ref: str) -> Architecture:
    """Read a model folder's architecture.

    Raises BaseModelError when it has no config, no safetensors, or a config that does not parse.
    """
    config = _read_config(folder, ref)
    if not isinstance(config.get("model_type", ""), str):
        raise BaseModelError(f"config.json of {ref!r} names no model type", ref=ref)
    tensors = read_headers(folder, ref)
    layers = _first_int(config, "num_hidden_layers", "n_layer", "num_layers", "n_layers")
    return Architecture(
        folder=folder,
        model_type=str(config.get("model_type", "")),
        family=_family(config),
        hidden_size=_first_int(config, "hidden_size", "d_model", "n_embd", "dim"),
        layers=layers,
        tensors=tensors,
        layer_prefix=_layer_prefix(tensors, layers),
        sentence_transformer=(folder / "modules.json").is_file(),
        tied=config.get("tie_word_embeddings") is not False,
    )


def read_headers(folder: Path, ref: str) -> dict[str, TensorInfo]:
    """Read name, dtype and shape of every tensor in a folder's safetensors files."""
    files = weight_files(folder, ref)
    tensors: dict[str, TensorInfo] = {}
    for file in files:
        tensors |= read_header(file, ref)
    return tensors


def read_header(file: Path, ref: str) -> dict[str, TensorInfo]:
    """Read name, dtype and shape of every tensor in one safetensors file; raises BaseModelError."""
    try:
        return _read_header(file)
    except (OSError, struct.error, *MALFORMED) as error:
        raise BaseModelError(
            f"{file.name} of {ref!r} is no valid safetensors file: {error}",
            ref=ref,
            hint="download or save the model again",
        ) from error


def weight_files(folder: Path, ref: str) -> list[Path]:
    """Return a model folder's safetensors files: the shards its index names, or the only file."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
            names = {Path(name).name for name in shards}
        except MALFORMED as error:
            raise BaseModelError(f"{index.name} of {ref!r} does not parse", ref=ref) from error
        files = [folder / name for name in sorted(names)]
    else:
        files = [folder / "model.safetensors"]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise BaseModelError(
            f"{ref!r} has no {missing[0]}", ref=ref, hint=_hint_for_missing_weights(folder)
        )
    return files


def _hint_for_missing_weights(folder: Path) -> str:
    if any(folder.glob("*.bin")):
        return "its weights are pickled, and pickles are never read: save it with safetensors"
    return "a base model is a folder with config.json and model.safetensors"


def _read_config(folder: Path, ref: str) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BaseModelError(
            f"{ref!r} is no model folder: it has no config.json",
            ref=ref,
            hint="a base model is a folder with config.json and model.safetensors",
        ) from None
    except (ValueError, RecursionError) as error:
        raise BaseModelError(f"config.json of {ref!r} does not parse: {error}", ref=ref) from error
    if not isinstance(config, dict):
        raise BaseModelError(f"config.json of {ref!r} is no JSON object", ref=ref)
    return config


def _read_header(file: Path) -> dict[str, TensorInfo]:
    total = file.stat().st_size
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"its header would take {length} bytes")
        header = json.loads(stream.read(length))
    return {
        name: TensorInfo(str(entry["dtype"]), plain_shape(entry["shape"], total))
        for name, entry in header.items()
        if name != "__metadata__"
    }


def plain_shape(said: Any, file_bytes: int) -> tuple[int, ...]:
    """Return the shape that a header says; ValueError unless a file of ``file_bytes`` may hold it.

    To multiply thousands of sizes, or ones of thousands of digits, would take minutes.
    """
    if not isinstance(said, list):
        raise ValueError("a tensor has a shape that is no list")
    shape = tuple(said)
    largest = 8 * file_bytes  # a number takes a bit at least
    if len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"a tensor has {len(shape)} dimensions")
    if not all(type(size) is int and 0 <= size <= largest for size in shape):
        raise ValueError("a tensor has a size that is no number, or more than its file holds")
    return shape


def _first_int(config: Mapping[str, Any], *keys: str) -> int:
    return next((config[key] for key in keys if isinstance(config.get(key), int)), 0)


def _family(config: Mapping[str, Any]) -> Family:
    """Tell an encoder by transformers' own table: it has a masked-language-model class."""
    if config.get("is_encoder_decoder"):
        return "encoder-decoder"
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

    masked = config.get("model_type") in MASKED and not config.get("is_decoder")
    return "encoder" if masked else "decoder"


def _layer_prefix(tensors: Mapping[str, TensorInfo], layers: int) -> str:
    """Return the prefix under which numbers 0 … layers - 1 occur; the one with most tensors."""
    numbers: dict[str, set[int]] = {}
    counts: Counter[str] = Counter()
    for name in tensors:
        if found := re.match(r"(.*?\.|)(\d+)\.", name):
            numbers.setdefault(found[1], set()).add(int(found[2]))
            counts[found[1]] += 1
    fitting = [p for p, seen in numbers.items() if len(seen) == layers and max(seen) == layers - 1]
    return max(fitting, key=lambda prefix: counts[prefix], default="")
