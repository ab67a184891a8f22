"""Wrap a base with PEFT, and make sure that what should learn learns, and nothing else."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from peft import get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper

from adapterhub_lite.errors import AdapterHubError, CapabilityError
from adapterhub_lite.protocols import LoadedBase

PEFT_ERRORS: Final = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError),
    *(NotImplementedError, AssertionError, ZeroDivisionError, RuntimeError),
)
"""What PEFT raises for settings that do not fit."""


def first_line(error: Exception) -> str:
    """Return the first line of what an exception says."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence PEFT's warnings: what they tell is checked here, or said in our own words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def wrap(base: LoadedBase, config: Any) -> Any:
    """Return the base wrapped with the method that ``config`` describes, ready to learn.

    Raises CapabilityError when PEFT refuses, or when the head would not learn.
    """
    # PEFT lengthens the list by the heads it knows, and twice where ours is there already
    wanted = list(config.modules_to_save or ())
    base.model.requires_grad_(False)
    try:
        with quiet_peft():
            model = get_peft_model(base.model, config)
    except AdapterHubError:
        raise
    except PEFT_ERRORS as error:
        raise CapabilityError(f"PEFT refuses: {first_line(error)}") from error
    config.modules_to_save = wanted or None
    _check_saved_modules(model, wanted)
    return model


def trainable_names(model: Any) -> frozenset[str]:
    """Return the names of the parameters that learn."""
    return frozenset(name for name, value in model.named_parameters() if value.requires_grad)


def tuner_layers(model: Any) -> dict[str, BaseTunerLayer]:
    """Return the layers that the method adapts, by name."""
    return {n: module for n, module in model.named_modules() if isinstance(module, BaseTunerLayer)}


def saved_modules(model: Any) -> list[str]:
    """Return the modules that are trained whole, by their names in the base."""
    return [
        name.removeprefix("base_model.").removeprefix("model.")
        for name, module in model.named_modules()
        if isinstance(module, ModulesToSaveWrapper)
    ]


def unwrap_saved_modules(model: Any) -> None:
    """Put the trained modules in the base's place.

    PEFT's own merging stumbles over a head with layers inside: it goes on to look for the wrapper's
    parts after it has replaced the wrapper.
    """
    wrappers = {n: m for n, m in model.named_modules() if isinstance(m, ModulesToSaveWrapper)}
    for name, wrapper in wrappers.items():
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, wrapper.modules_to_save["default"])


def _check_saved_modules(model: Any, wanted: list[str]) -> None:
    """Refuse when a module that has to learn does not, or another one does."""
    present = saved_modules(model)
    absent = [name for name in wanted if not any(f".{p}".endswith(f".{name}") for p in present)]
    if absent:
        raise CapabilityError(
            f"the base has no module {absent[0]!r} to train whole",
            hint="modules_to_save names modules of the base, like classifier",
        )
    others = [p for p in present if not any(f".{p}".endswith(f".{name}") for name in wanted)]
    if others:
        raise CapabilityError(
            f"PEFT finds modules by how their names end, and would train {others[0]!r} as well",
            hint="lora works",
        )
