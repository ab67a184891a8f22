"""Pickled weights become safetensors.

A process of its own tells where each tensor lies in the file; the numbers are copied from there as
they are, one tensor at a time.
"""

import mmap
import shutil
from pathlib import Path
from typing import Final

from adapterhub_lite.errors import BaseModelError, StorageError
from adapterhub_lite.isolation.run import ConversionError
from adapterhub_lite.isolation.state_dict import PickledTensor, read_state_dict
from adapterhub_lite.streaming.layout import shard_of

HINT: Final = "nothing in it was run; save it with safetensors where you trust it"


def convert_weights(file: Path, target: Path, ref: str) -> None:
    """Write the tensors of a state dict that ``torch.save`` wrote as safetensors.

    Tensors that share their numbers are written each with its own. Raises BaseModelError for a file
    that holds anything but tensors, StorageError when the disk is too small.
    """
    try:
        tensors = read_state_dict(file)
    except ConversionError as error:
        message = f"{file.name} of {ref} is refused: {error}"
        raise BaseModelError(message, ref=ref, hint=HINT) from None
    shard = shard_of(target.name, tensors)
    free = shutil.disk_usage(target.parent).free
    if shard.size > free:
        raise StorageError(
            f"the weights of {ref} take {shard.size / 1e9:.2f} GB when they are converted, and "
            f"{target.parent} has {free / 1e9:.2f} GB",
            hint="free some space, or set --home to another disk",
        )
    with file.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    with target.open("wb") as stream:
        stream.write(shard.header)
        for name in sorted(shard.starts, key=lambda name: (shard.starts[name], tensors[name].size)):
            if tensors[name].size:
                stream.write(_numbers(mapped, tensors[name]))


def _numbers(mapped: mmap.mmap, tensor: PickledTensor) -> memoryview:
    """Return a tensor's numbers, row by row; they are copied only if they lie in another order."""
    import torch

    from adapterhub_lite.streaming.sources import TORCH_TYPES

    dtype = TORCH_TYPES[tensor.dtype]
    stored = torch.frombuffer(mapped, dtype=dtype, count=tensor.items, offset=tensor.start)
    rows = stored.as_strided(tensor.shape, tensor.strides, tensor.offset).contiguous()
    data: memoryview = rows.reshape(-1).view(torch.uint8).numpy().data
    return data
