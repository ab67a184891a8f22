"""Where each tensor goes in safetensors files that are yet to be written."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapterhub_lite.streaming.headers import ITEM_BYTES, TensorShape

ALIGNMENT: Final = 8


@dataclass(frozen=True, slots=True)
class Shard:
    """A file of the output: its header's bytes, and where each of its tensors begins."""

    name: str
    header: bytes
    starts: Mapping[str, int]
    size: int


def lay_out(tensors: Mapping[str, TensorShape], shard_bytes: int) -> list[Shard]:
    """Return the files that hold the tensors: as few as the size of a shard allows.

    A tensor is never split; one that is larger than a shard has one of its own.
    """
    groups: list[list[str]] = [[]]
    filled = 0
    for name in sorted(tensors):
        if groups[-1] and filled + tensors[name].nbytes > shard_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(name)
        filled += tensors[name].nbytes
    single = len(groups) == 1
    return [
        shard_of(
            "model.safetensors" if single else f"model-{number:05}-of-{len(groups):05}.safetensors",
            {name: tensors[name] for name in names},
        )
        for number, names in enumerate(groups, 1)
    ]


def total_bytes(shards: Sequence[Shard]) -> int:
    """Return how many bytes the files take."""
    return sum(shard.size for shard in shards)


def shard_of(file: str, tensors: Mapping[str, TensorShape]) -> Shard:
    """Return the layout of one file that holds the tensors."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    # Wide types first, as safetensors writes them: every tensor then lies at a multiple of its own.
    for name in sorted(tensors, key=lambda key: (-ITEM_BYTES[tensors[key].dtype], key)):
        tensor = tensors[name]
        offsets = [end, end + tensor.nbytes]
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": offsets}
        end = offsets[1]
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    first = 8 + len(text)
    starts = {name: first + header[name]["data_offsets"][0] for name in tensors}
    return Shard(file, struct.pack("<Q", len(text)) + text, starts, first + end)
