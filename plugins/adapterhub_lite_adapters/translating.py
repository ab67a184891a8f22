"""What a stranger's adapter becomes: a method of ours, its parameters, and where tensors go."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from adapterhub_lite.errors import CapabilityError, IntegrityError
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.tuners.files import State

TUNER: Final = "base_model.model."
"""What PEFT puts before a name of the base where a method goes into its layers."""
PROMPT: Final = "base_model."
"""What it puts there where a method stands before the text."""


@dataclass(frozen=True, slots=True)
class Translated:
    """A method, its parameters, and ``fill``: the adapter's tensors from the stranger's.

    ``fill`` is given the loaded base too: some tensors are relative to its weights. ``start`` is
    what stands before the names of the base's own modules in what the method saves.
    """

    method: str
    params: Mapping[str, Any]
    fill: Callable[[State, LoadedBase], State]
    start: str = TUNER


def renamed(names: Mapping[str, str]) -> Callable[[State, LoadedBase], State]:
    """Return a filling that gives tensors other names; ``names`` has ours for theirs."""

    def fill(state: State, base: LoadedBase) -> State:
        return {ours: state[theirs] for ours, theirs in names.items()}

    return fill


def find_module(model: Any, path: str) -> str | None:
    """Return a base's name of the module that AdapterHub calls ``path``.

    The transformer within a model with a head has a name of its own, which either side may lack.
    """
    names = {name for name, _ in model.named_modules()}
    inner = path.partition(".")[2]
    for name in (path, f"{model.base_model_prefix}.{path}", inner):
        if name in names:
            return name
    return None


def linear_shape(model: Any, name: str) -> tuple[int, int]:
    """Return (out, in) of a linear layer; raises CapabilityError for another kind of module."""
    module = model.get_submodule(name)
    if not isinstance(module, torch.nn.Linear):
        raise CapabilityError(f"{name!r} of the base is a {type(module).__name__}, not a Linear")
    return module.out_features, module.in_features


def require_shape(name: str, found: Sequence[int], expected: Sequence[int]) -> None:
    """Raise IntegrityError for a tensor that the base's size does not allow."""
    if tuple(found) != tuple(expected):
        raise IntegrityError(
            f"{name[:200]!r} has the shape {tuple(found)}, and on this base it would be "
            f"{tuple(expected)}",
            hint="give the base that it was trained on: --base REF",
        )


def stranger(name: str) -> CapabilityError:
    """Return the error for a tensor that has no place in what there is here."""
    return CapabilityError(f"{name[:100]!r} is no tensor of such an adapter on this base")


def layer_number(name: str) -> int:
    """Return the first number in a module's name, which is its layer's."""
    found = re.search(r"\.(\d{1,6})\.", f".{name}.")
    assert found is not None, "it is a module of a numbered layer"
    return int(found[1])
