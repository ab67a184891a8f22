"""For methods that train some of the base's own parameters: what is saved is those, by their names.

BitFit, tuning of norms and their like need no new module: a choice of names is the whole method.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from adapterhub_lite.errors import IntegrityError
from adapterhub_lite.plugins import one_line
from adapterhub_lite.protocols import Attached, LoadedBase

WEIGHTS: Final = "adapter_model.safetensors"

Chooses = Callable[[str, torch.nn.Parameter], bool]
"""Says of a parameter, by its name and value, whether it learns."""


def train_only(base: LoadedBase, chooses: Chooses) -> Attached:
    """Let the chosen parameters learn, and the layers that the head added; freeze all else."""
    names = frozenset(
        name
        for name, parameter in base.model.named_parameters()
        if _of_head(name, base) or chooses(name, parameter)
    )
    for name, parameter in base.model.named_parameters():
        parameter.requires_grad_(name in names)
    return Attached(base.model, base.tokenizer, base.path, names, base.head)


def save_trained(attached: Attached, folder: Path) -> None:
    """Write the parameters that learnt, and the tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    parameters = dict(attached.model.named_parameters())
    state = {
        name: parameters[name].detach().cpu().clone().contiguous()
        for name in sorted(attached.trainable)
    }
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    attached.tokenizer.save_pretrained(folder)


def load_trained(base: LoadedBase, folder: Path, chooses: Chooses = lambda *_: False) -> LoadedBase:
    """Put what :func:`save_trained` wrote into a freshly loaded base, in evaluation mode.

    What is chosen has to be there, as the head has to. Raises IntegrityError where it is not, for a
    file that is absent or broken, and for a tensor that the base has not or has in another shape.
    """
    state = _read(folder)
    model: Any = base.model
    parameters = dict(model.named_parameters())
    needed = [n for n, value in parameters.items() if _of_head(n, base) or chooses(n, value)]
    lacking = [name for name in needed if name not in state]
    unknown = [name for name in state if name not in parameters]
    if lacking or unknown:
        verb, name = ("lacks", lacking[0]) if lacking else ("has an unexpected", unknown[0])
        raise IntegrityError(
            f"{WEIGHTS} {verb} {name!r}",
            hint="it was trained on another base, or with another head",
        )
    for name, tensor in state.items():
        _put(parameters[name], tensor, name)
    model.requires_grad_(False)
    return replace(base, model=model.eval())


def _of_head(name: str, base: LoadedBase) -> bool:
    return name.startswith(tuple(f"{module}." for module in base.new))


def _read(folder: Path) -> dict[str, torch.Tensor]:
    try:
        state: dict[str, torch.Tensor] = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise IntegrityError(f"{WEIGHTS} cannot be read: {one_line(error)}") from error
    return state


def _put(parameter: torch.nn.Parameter, tensor: torch.Tensor, name: str) -> None:
    if parameter.shape != tensor.shape:
        shapes = f"{tuple(tensor.shape)}, not {tuple(parameter.shape)}"
        raise IntegrityError(f"{name!r} in {WEIGHTS} has the shape {shapes}")
    with torch.no_grad():
        parameter.copy_(tensor)
