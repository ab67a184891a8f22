"""A learnt route's files: ``route.json`` and ``route.safetensors``, believed nothing when read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from adapterhub_lite.errors import IntegrityError
from adapterhub_lite.pooling import Mode
from adapterhub_lite_compositions.learnt import By, Chooser

CONFIG: Final = "route.json"
TENSORS: Final = "route.safetensors"


class Stored(BaseModel):
    """What ``route.json`` holds: the order of the members, and how inputs become embeddings."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    by: By
    members: list[str]
    width: PositiveInt
    pooling: Mode
    max_length: PositiveInt


def write_route(stored: Stored, chooser: Chooser, folder: Path) -> None:
    """Write what was learnt."""
    text = stored.model_dump_json(indent=2) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")
    # scikit-learn may leave Fortran order, which save_file would write as if it were C order
    tensors = {
        "weights": np.ascontiguousarray(chooser.weights),
        "bias": np.ascontiguousarray(chooser.bias),
    }
    save_file(tensors, folder / TENSORS)


def read_route(folder: Path, by: By, members: Sequence[str]) -> tuple[Stored, Chooser]:
    """Read what was learnt; raises IntegrityError for what does not fit the composition."""
    try:
        stored = Stored.model_validate_json((folder / CONFIG).read_bytes())
        tensors = load_file(folder / TENSORS)
    except (OSError, ValidationError, SafetensorError, ValueError) as error:
        raise IntegrityError(f"what the route learnt does not parse: {folder}") from error
    if (stored.by, stored.members) != (by, list(members)):
        raise IntegrityError(
            f"what the route learnt is of others: a {stored.by} of {', '.join(stored.members)}"
        )
    shapes = {"weights": (len(members), stored.width), "bias": (len(members),)}
    for name, shape in shapes.items():
        found = tensors.get(name)
        if found is None or found.shape != shape or found.dtype != np.float64:
            raise IntegrityError(f"{TENSORS}: {name!r} is no table of {shape} float64")
        if not np.isfinite(found).all():
            raise IntegrityError(f"{TENSORS}: {name!r} is not finite")
    return stored, Chooser(by, tensors["weights"], tensors["bias"])
