"""Several short rows in one long one, each seeing only itself."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import nn

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite_tasks.batching import answering
from adapterhub_lite_tasks.common import alike
from adapterhub_lite_tasks.inputs import (
    IGNORED,
    device_of,
    inner_model,
    is_prompt_learning,
    pad_rows,
)
from adapterhub_lite_tasks.likelihood import Batch, decoder_batch, logits_of

HINT = "leave packing out; group_by_length: true saves padding too"


def pack(features: Sequence[Feature], capacity: int) -> list[Feature]:
    """Join features to rows of at most ``capacity`` tokens, by best-fit decreasing.

    ``segments`` numbers a row's features from 1, ``position_ids`` start anew in each. Rows stand in
    the order of their first feature, whose ``row`` they keep.
    """
    room: dict[int, list[list[int]]] = defaultdict(list)
    for number in sorted(range(len(features)), key=lambda i: (-features[i]["length"], i)):
        length = features[number]["length"]
        free = min((left for left, bins in room.items() if left >= length and bins), default=None)
        chosen = [] if free is None else room[free].pop()
        chosen.append(number)
        room[(capacity if free is None else free) - length].append(chosen)
    bins = sorted(sorted(chosen) for found in room.values() for chosen in found)
    return [_joined([features[number] for number in chosen]) for chosen in bins]


def _joined(features: Sequence[Feature]) -> Feature:
    return {
        "input_ids": [token for f in features for token in f["input_ids"]],
        "labels": [label for f in features for label in (IGNORED, *f["labels"][1:])],
        "position_ids": [place for f in features for place in range(f["length"])],
        "segments": [n for n, f in enumerate(features, start=1) for _ in f["input_ids"]],
        "length": sum(f["length"] for f in features),
        "row": features[0]["row"],
    }


def packed_batch(features: Sequence[Feature], pad: int) -> Batch:
    """Pad packed rows to a batch."""
    return {
        **decoder_batch(features, pad),
        "position_ids": pad_rows([f["position_ids"] for f in features], 0),
        "segments": pad_rows([f["segments"] for f in features], 0),
    }


def refuse_if_rows_leak(model: nn.Module, features: Sequence[Feature], pad: int) -> None:
    """Refuse a model with which packed rows read each other, tried on two of them.

    Raises CapabilityError: a method with virtual tokens has no place for the mask, and some
    architectures do not read one.
    """
    if is_prompt_learning(model):
        raise CapabilityError("a method with virtual tokens cannot train packed rows", hint=HINT)
    window = getattr(inner_model(model).config, "sliding_window", None)
    if window and max(feature["length"] for feature in features) > window:
        raise CapabilityError(
            f"this base looks back {window} tokens only, and a packed row's mask cannot say so",
            hint=f"{HINT}; or lower max_length to {window}",
        )
    pair = sorted(features[:64], key=lambda feature: feature["length"])[:2]
    if len(pair) < 2:
        return
    with answering(model):
        try:
            packed = _answers(model, packed_batch([_joined(pair)], pad))
        except (RuntimeError, TypeError, ValueError) as error:
            raise CapabilityError(
                f"this base cannot train packed rows: {error}", hint=HINT
            ) from error
        alone = torch.cat([_answers(model, decoder_batch([f], pad)) for f in pair])
    if not alike(model, alone, packed):
        raise CapabilityError("packed rows would read each other on this base", hint=HINT)


def _answers(model: nn.Module, batch: Batch) -> torch.Tensor:
    placed = {name: tensor.to(device_of(model)) for name, tensor in batch.items()}
    return logits_of(model, placed)[0].double()
