"""The output's config: a model's, with what the merge changes, and nothing that names code."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.heads import NEW_LAYERS, head_config
from adapterhub_lite.specs import Head, HeadKind

CODE: Final = frozenset({"auto_map", "custom_pipelines", "trust_remote_code", "custom_generate"})
"""Keys that name code to be run."""
STALE: Final = frozenset({"_name_or_path", "quantization_config"})
"""Keys that are not true of what is written."""
LAYER_COUNTS: Final = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
TOKEN_IDS: Final = re.compile(r"_token_ids?$|_token_index$|^(begin_)?suppress_tokens$")
LABELS: Final = frozenset({"id2label", "label2id", "num_labels", "problem_type"})
_SUFFIXES: Final[Mapping[str, HeadKind]] = {
    "ForSequenceClassification": "sequence-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
}
"""Endings of transformers' class names, of heads that have layers of their own."""

NewId = Callable[[int], int | None]


def head_of(config: Mapping[str, Any]) -> HeadKind:
    """Return which head with layers of its own a config's model class has; ``none`` without."""
    name = model_class(config)
    return next((kind for end, kind in _SUFFIXES.items() if name.endswith(end)), "none")


def model_class(config: Mapping[str, Any]) -> str:
    """Return the name of transformers' class that a config is of; empty where it tells none."""
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else ""


def labels_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a config's labels in the order of the outputs; empty without a head that has them."""
    told = config.get("id2label")
    if head_of(config) == "none" or not isinstance(told, Mapping):
        return ()
    return tuple(str(told[key]) for key in sorted(told, key=lambda key: (len(key), key)))


def clean(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config without what names code, and what is not true of other weights."""
    return {
        key: clean(value) if _is_part(key, value) else value
        for key, value in config.items()
        if key not in CODE | STALE
    }


def names_code(config: Mapping[str, Any]) -> bool:
    """Say whether a config names code of its own."""
    return any(
        key in CODE or (_is_part(key, value) and names_code(value)) for key, value in config.items()
    )


def _is_part(key: str, value: Any) -> bool:
    """Say whether an entry is the config of a part of the model: labels can have any name."""
    return isinstance(value, Mapping) and key not in LABELS


def with_dtype(config: Mapping[str, Any], dtype: str | None) -> dict[str, Any]:
    """Return a config that says in which floats it was written, in it and in its parts.

    ``dtype`` None keeps what it says itself, in transformers' present spelling.
    """
    found: dict[str, Any] = {
        key: with_dtype(value, dtype) if _is_part(key, value) else value
        for key, value in config.items()
    }
    said = found.pop("torch_dtype", None)
    known = found.get("dtype") or said
    if known:
        found["dtype"] = dtype or known
    return found


def with_vocabulary(config: Mapping[str, Any], rows: int | None, new_id: NewId) -> dict[str, Any]:
    """Return a config with the output's number of embeddings, and its ids of special tokens."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if _is_part(key, value):
            found[key] = with_vocabulary(value, rows, new_id)
        else:
            found[key] = _moved(value, new_id) if TOKEN_IDS.search(key) else value
    if rows is not None and "vocab_size" in found:
        found["vocab_size"] = rows
    return found


def _moved(value: Any, new_id: NewId) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return new_id(value)
    if isinstance(value, list):
        moved = [_moved(entry, new_id) for entry in value]
        return [entry for entry in moved if entry is not None] or None
    return value


def with_layers(config: Mapping[str, Any], layers: Sequence[int]) -> dict[str, Any]:
    """Return a config of the given layers of its model, in this order; a layer may come twice.

    Raises CapabilityError where the config does not say how many layers there are.
    """
    part = config.get("text_config")
    key = next((key for key in LAYER_COUNTS if isinstance(config.get(key), int)), None)
    if key is None and isinstance(part, Mapping):
        return {**config, "text_config": with_layers(part, layers)}
    if key is None:
        raise CapabilityError(
            "the config does not say how many layers the model has, so slices cannot be written",
            hint="merge whole models instead",
        )
    before = config[key]
    found = {name: _per_layer(name, value, before, layers) for name, value in config.items()}
    return {**found, key: len(layers)}


def _per_layer(name: str, value: Any, before: int, layers: Sequence[int]) -> Any:
    """Take the entries of the given layers from a list that has one for each."""
    if not isinstance(value, list) or "layer" not in name or len(value) != before:
        return value
    return [value[layer] if layer < before else value[-1] for layer in layers]


def with_head(config: Mapping[str, Any], head: Head) -> dict[str, Any]:
    """Return a config whose model class has the head, with its labels."""
    found = {key: value for key, value in config.items() if key not in LABELS}
    if head.kind in NEW_LAYERS:
        told = head_config(head)
        told.pop("num_labels", None)
        if "id2label" in told:
            told["id2label"] = {str(n): label for n, label in told["id2label"].items()}
        found |= told
    return {**found, "architectures": _architectures(config, head.kind)}


def _architectures(config: Mapping[str, Any], kind: HeadKind) -> list[str]:
    """Return the model class that has a head, by transformers' own table."""
    from transformers.models.auto import modeling_auto

    from adapterhub_lite.architecture import HEAD_TABLES

    table = getattr(modeling_auto, HEAD_TABLES[kind])
    name = table.get(config.get("model_type"))
    if name is None:
        raise CapabilityError(
            f"a {config.get('model_type')!r} model has no class for {kind}",
            hint="merge with heads: omit",
        )
    return [name if isinstance(name, str) else name[0]]
