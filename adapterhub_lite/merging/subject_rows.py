"""The rows that a merged model computes with: tokenised, in batches."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from adapterhub_lite.errors import CapabilityError, DataError
from adapterhub_lite.specs import RowKind

KINDS: Final[frozenset[RowKind]] = frozenset(
    {"labelled-text", "valued-text", "document", "dialogue"}
)
"""Rows that are tokenised here: texts, pairs of texts, and messages in the chat template."""
SETTINGS: Final = ("task.json", "scorer.json")
LENGTHS: Final = ("max_length", "block_size")
MAX_LENGTH: Final = 128
"""Tokens of a row, where the version's own settings do not say."""

Batch = dict[str, torch.Tensor]


def max_length(folder: Path, config: Mapping[str, Any]) -> int:
    """Return how many tokens of a row a version reads: its own setting, within its positions."""
    told = MAX_LENGTH
    for name in SETTINGS:
        if (folder / name).is_file():
            settings = json.loads((folder / name).read_text(encoding="utf-8"))
            told = next((settings[key] for key in LENGTHS if key in settings), told)
            break
    positions = config.get("max_position_embeddings")
    return min(told, positions) if isinstance(positions, int) and positions > 0 else int(told)


def tokenise(
    tokenizer: Any, items: Sequence[Any], length: int, *, segments: bool
) -> list[dict[str, list[int]]]:
    """Return each input's ``input_ids``, and with ``segments`` its ``token_type_ids``.

    Raises DataError when no input has a token, CapabilityError for messages without a template.
    """
    features = [_tokenised(tokenizer, item, length, segments) for item in items]
    if not (kept := [feature for feature in features if feature["input_ids"]]):
        raise DataError("the rows hold no text", hint="give others")
    return kept


def _tokenised(tokenizer: Any, item: Any, length: int, segments: bool) -> dict[str, list[int]]:
    chat = isinstance(item, list)
    if chat and not tokenizer.chat_template:
        raise CapabilityError(
            "the rows are messages, and the model has no chat template", hint="give texts"
        )
    texts = [item] if isinstance(item, str) else item
    if chat:
        texts = [tokenizer.apply_chat_template(item, tokenize=False, add_generation_prompt=True)]
    encoded = tokenizer(
        *texts,
        truncation=True,
        max_length=length,
        add_special_tokens=not chat,
        return_token_type_ids=segments,
    )
    keys = ("input_ids", "token_type_ids") if segments else ("input_ids",)
    return {key: list(encoded[key]) for key in keys}


def batches_of(
    features: Sequence[Mapping[str, Sequence[int]]],
    pad: int,
    examples: int,
    seed: int,
    size: int,
    device: torch.device,
) -> Iterator[Batch]:
    """Yield at most ``examples`` rows in an order of the seed, padded on the right."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(features), generator=generator).tolist()[:examples]
    for start in range(0, len(order), size):
        rows = [features[row] for row in order[start : start + size]]
        batch = {key: _padded([row[key] for row in rows], 0) for key in rows[0]}
        batch["input_ids"] = _padded([row["input_ids"] for row in rows], pad)
        batch["attention_mask"] = _padded([[1] * len(row["input_ids"]) for row in rows], 0)
        yield {key: value.to(device) for key, value in batch.items()}


def _padded(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])
