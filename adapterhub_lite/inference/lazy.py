"""A registry that is opened when something of it is asked for."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry


class _Lazy:
    """Stands for a registry until it is needed: a folder whose base is a folder needs none."""

    def __init__(self, open_it: "Callable[[], Registry]") -> None:
        self._open = open_it

    @cached_property
    def _registry(self) -> "Registry":
        return self._open()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry, name)


def opened_on_use(open_it: "Callable[[], Registry]") -> "Registry":
    """Return a registry that ``open_it`` opens, and perhaps makes, on the first use."""
    return cast("Registry", _Lazy(open_it))
