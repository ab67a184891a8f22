"""Checkpoints: tensors in safetensors, all else in JSON; no pickle is written or read.

A checkpoint is a folder ``step-00000120`` with two files. It is written beside its place, synced
and renamed, so one that has its name is complete; a digest of the tensors tells one that the disk
has spoilt. It says what it belongs to, and another recipe's is refused.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from adapterhub_lite.errors import RecipeError

KEPT: Final = 2
TENSORS: Final = "tensors.safetensors"
STATE: Final = "state.json"
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was saved after ``step``."""

    step: int
    tensors: Mapping[str, torch.Tensor]
    values: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one training in ``folder``.

    ``identity`` says which training it is: JSON values by name, and under ``params`` those of the
    recipe.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self._folder = folder
        self._identity = identity

    def clear(self) -> None:
        """Remove what an earlier training left here."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def save(self, step: int, tensors: Mapping[str, torch.Tensor], values: Any) -> None:
        """Write a checkpoint, whole or not at all, and remove all but the last two."""
        partial = self._folder / f".partial-{step}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_file(_apart(tensors), partial / TENSORS)
        state = {
            "format": _FORMAT,
            "step": step,
            "identity": self._identity,
            "sha256": _digest(partial / TENSORS),
            "values": values,
        }
        (partial / STATE).write_text(json.dumps(state), encoding="utf-8")
        for path in (partial / TENSORS, partial / STATE, partial):
            _sync(path)
        final = self._folder / f"step-{step:08d}"
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        _sync(self._folder)
        for old in self._complete()[:-KEPT]:
            shutil.rmtree(old)

    def latest(self) -> Checkpoint | None:
        """Return the last complete checkpoint, or None.

        Raises RecipeError when it belongs to another training, naming what differs.
        """
        for folder in reversed(self._complete()):
            try:
                state = json.loads((folder / STATE).read_text(encoding="utf-8"))
                if state["format"] != _FORMAT or state["sha256"] != _digest(folder / TENSORS):
                    continue
                tensors = load_file(folder / TENSORS)
            except (OSError, ValueError, KeyError, TypeError, SafetensorError):
                continue
            self._check(state)
            return Checkpoint(state["step"], tensors, state["values"])
        return None

    def _complete(self) -> list[Path]:
        return sorted(self._folder.glob("step-*"))

    def _check(self, state: Mapping[str, Any]) -> None:
        ours = _flat(json.loads(json.dumps(self._identity)))
        theirs = _flat(state["identity"])
        for name in {**ours, **theirs}:
            if ours.get(name) != theirs.get(name):
                raise RecipeError(
                    f"the checkpoint of step {state['step']} is from another recipe: {name} was "
                    f"{_short(theirs.get(name))} and is {_short(ours.get(name))}",
                    field=f"objective.{name}" if name in self._identity.get("params", {}) else "",
                    hint="resume with the recipe of that run, or start a new run",
                )


def _flat(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {**identity.get("params", {}), **{k: v for k, v in identity.items() if k != "params"}}


def _short(value: Any) -> str:
    """Return enough of a digest to tell it from another."""
    return str(value)[:12]


def _apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give each tensor memory of its own, as safetensors wants: 8-bit states share tables."""
    seen: set[int] = set()
    apart = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if place in seen else tensor.contiguous()
        seen.add(place)
    return apart


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest_of(items: Iterable[Any]) -> str:
    """Return the SHA-256, in hex, of JSON values; arrays and tensors count as their lists."""
    digest = hashlib.sha256()
    for item in items:
        line = json.dumps(item, sort_keys=True, default=_listed) + "\n"
        digest.update(line.encode())
    return digest.hexdigest()


def _listed(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else list(value)
