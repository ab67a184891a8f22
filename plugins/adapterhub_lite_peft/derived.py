"""What a few methods compute from the base's weights and PEFT computes again when it loads them.

A decomposition has many right answers: signs, order and the last digits depend on the processor,
the library and the number of threads. Weights learned beside one answer mean nothing beside
another, so the one that was trained with is kept in a file of its own, which PEFT passes over.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from adapterhub_lite.errors import IntegrityError
from adapterhub_lite.tuners.files import State
from adapterhub_lite.tuners.wrapping import first_line
from adapterhub_lite_peft.table import Entry

FILE: Final = "derived.safetensors"


def save_derived(model: Any, entry: Entry, folder: Path) -> None:
    """Write a wrapped model's derived tensors, where its method has any."""
    state = {name: held["default"] for name, held in _places(model, entry)}
    if state:
        plain = {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}
        save_file(plain, folder / FILE, metadata={"format": "pt"})


def load_derived(model: Any, entry: Entry, folder: Path) -> None:
    """Put saved tensors in place of those just computed.

    Adapters that other tools wrote have no such file. Raises IntegrityError when it does not fit.
    """
    if not entry.derived or not (folder / FILE).is_file():
        return
    state = _read(folder / FILE)
    places = dict(_places(model, entry))
    if state.keys() != places.keys():
        raise IntegrityError(f"{FILE} holds other layers than the adapter", hint="see its base")
    for name, held in places.items():
        computed = held["default"]
        if state[name].shape != computed.shape or state[name].dtype != computed.dtype:
            raise IntegrityError(f"{name!r} in {FILE} has another shape or type here")
        held["default"] = state[name].to(computed.device)


def _places(model: Any, entry: Entry) -> Iterator[tuple[str, Any]]:
    """Return the mappings, from an adapter's name to a tensor, in which they lie."""
    for name, module in model.named_modules():
        for attribute in sorted(entry.derived):
            held = getattr(module, attribute, None)
            if held is not None and "default" in held:
                yield f"{name}.{attribute}", held


def _read(file: Path) -> State:
    try:
        state: State = load_file(file)
    except (OSError, SafetensorError) as error:
        raise IntegrityError(f"{file.name} cannot be read: {first_line(error)}") from error
    for name, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise IntegrityError(f"{name!r} in {file.name} is not finite")
    return state
