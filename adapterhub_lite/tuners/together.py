"""Several adapters of one method on one base."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.tuners.files import State, put_state, read_config, read_state
from adapterhub_lite.tuners.wrapping import PEFT_ERRORS, first_line, quiet_peft

FIRST = "default"
"""What PEFT calls the adapter that a model was wrapped with."""


def whole_modules(folder: Path) -> tuple[str, ...]:
    """Return the modules that an adapter replaces whole, as its config names them."""
    return tuple(read_config(folder).get("modules_to_save") or ())


def split_state(state: State, whole: Collection[str]) -> tuple[State, State]:
    """Part an adapter's tensors into its own and those of modules that it replaces whole."""
    saved = {name for name in state if any(f".{module}." in f".{name}" for module in whole)}
    own = {name: value for name, value in state.items() if name not in saved}
    return own, {name: state[name] for name in sorted(saved)}


def stack(model: Any, order: Sequence[str], head: str, others: Mapping[str, Any]) -> Any:
    """Make several adapters active on ``model``, which was wrapped with that of ``head``.

    ``order`` are the members' names; ``others`` has a PEFT config, of no module trained whole, and
    a folder for each but ``head``. Raises IntegrityError for files that do not fit.
    """
    names = {member: FIRST if member == head else f"member{i}" for i, member in enumerate(order)}
    for member, (config, folder) in others.items():
        own, _ = split_state(read_state(folder), whole_modules(folder))
        config.modules_to_save, config.inference_mode = None, True
        try:
            with quiet_peft(), torch.random.fork_rng(devices=[]):
                # that of its subclasses would give every adapter a head
                PeftModel.add_adapter(model, names[member], config)
        except PEFT_ERRORS as error:
            raise CapabilityError(
                f"PEFT does not put {member!r} beside {head!r}: {first_line(error)}"
            ) from error
        put_state(model, own, names[member])
    model.base_model.set_adapter([names[member] for member in order], inference_mode=True)
    model.requires_grad_(False)
    return model.eval()


def require_heads_alone(base: LoadedBase, folders: Mapping[str, Path]) -> None:
    """Raise CapabilityError for an adapter that replaces another module whole than its head."""
    for name, folder in folders.items():
        _, saved = split_state(read_state(folder), whole_modules(folder))
        other = [key for key in saved if not any(f".{n}." in f".{key}" for n in base.new)]
        if other:
            raise CapabilityError(
                f"{name} replaces a module whole, beside its head, and tokens have no share in "
                f"such: {other[0]}",
                hint="train it without modules_to_save",
            )


def weighted_heads(folders: Mapping[str, Path], weights: Mapping[str, float]) -> State:
    """Return the weighted sum of what adapters replace whole; those of weight 0 are not looked at.

    One alone of weight 1 is taken as it is. It is computed in 64 bits. Raises CapabilityError for
    adapters that do not replace the same.
    """
    saved = {
        name: split_state(read_state(folder), whole_modules(folder))[1]
        for name, folder in folders.items()
        if weights[name]
    }
    (first, expected), *others = saved.items()
    if not others:
        return expected
    for name, state in others:
        if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in expected.items()}:
            raise CapabilityError(
                f"{first} and {name} do not replace the same modules whole",
                hint="name the member whose head answers (head)",
            )
    return {
        key: sum(
            (weights[name] * state[key].double() for name, state in saved.items()),
            start=torch.zeros_like(value, dtype=torch.float64),
        ).to(value.dtype)
        for key, value in expected.items()
    }
