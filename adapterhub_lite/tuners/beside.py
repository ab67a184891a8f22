"""What adapters have in the body of a base, whatever heads they and the base have."""

from pathlib import Path
from typing import Any, Final

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.streaming.adapters.files import BEFORE
from adapterhub_lite.tuners.files import State, read_state
from adapterhub_lite.tuners.together import split_state, whole_modules

OWN_PARTS: Final = 2
"""Parts of a tensor's name behind the module that it adapts, as in ``query.lora_A.weight``."""


def body_state(base: LoadedBase, name: str, folder: Path) -> State:
    """Return an adapter's own tensors, by the names that PEFT gives them on ``base``.

    A bare transformer is called otherwise within a model with a head. What the adapter replaces
    whole is its head, and left out; raises CapabilityError for another module, of which several
    adapters cannot have each its own, and IntegrityError for files that cannot be read.
    """
    own, whole = split_state(read_state(folder), whole_modules(folder))
    body = _Body(base)
    for key in whole:
        if body.holds(place := key.removeprefix(BEFORE).rpartition(".")[0]):
            raise CapabilityError(
                f"{name} has trained {place} whole, which is no part of its head",
                hint="train it without modules_to_save",
            )
    return {body.renamed(key): value for key, value in own.items()}


class _Body:
    """The names of a base's modules, those of its bare transformer apart."""

    def __init__(self, base: LoadedBase) -> None:
        model: Any = base.model
        self._names = {name for name, _ in model.named_modules()}
        self._prefix = f"{model.base_model_prefix}."
        self._headed = hasattr(model, model.base_model_prefix)
        pooler = f"{self._prefix}pooler" if self._headed else "pooler"
        self._heads = (*(f"{name}." for name in base.new), f"{pooler}.")

    def holds(self, place: str) -> bool:
        """Say whether a module lies in the bare transformer, which has no head."""
        found = self._found(place)
        inside = found.startswith(self._prefix) if self._headed else found in self._names
        return inside and not f"{found}.".startswith(self._heads)

    def renamed(self, key: str) -> str:
        """Return a tensor's name with that of its module in this base."""
        place, *own = key.removeprefix(BEFORE).rsplit(".", OWN_PARTS)
        return ".".join([BEFORE + self._found(place), *own])

    def _found(self, place: str) -> str:
        known = (place, self._prefix + place, place.removeprefix(self._prefix))
        return next((name for name in known if name in self._names), place)
