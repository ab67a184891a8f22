"""Every exception the project raises on purpose.

::

    AdapterHubError                 exit 1   message, hint
    ├── UserError                   exit 2   what was asked for cannot be done as asked
    │   ├── RecipeError                      field: a key or value in a recipe is wrong
    │   ├── DataError                        path: rows cannot be read, or cannot be trained on
    │   ├── BaseModelError                   ref: a base model is missing or of the wrong kind
    │   ├── UnknownNameError                 kind, name, nearest: no plugin offers that name
    │   ├── CapabilityError                  reason: the parts exist, but do not fit together
    │   ├── MergeError                       tensor: inputs cannot be merged as they are
    │   └── MissingDependencyError           install: an optional library is not installed
    ├── PluginError                          plugin: somebody's plugin misbehaved
    │   └── PluginConflictError     exit 2   two distributions offer the same name
    ├── TrainingError                        a run failed
    │   ├── NonFiniteError                   step: loss or weights became NaN or infinite
    │   └── SelfTestError                    the reloaded artifact answers differently
    ├── RemoteError                          remote: a place elsewhere cannot be reached, or refuses
    └── RegistryError
        ├── InvalidNameError        exit 2
        ├── NotFoundError           exit 2
        ├── InUseError              exit 2
        ├── InvalidManifestError    exit 2
        ├── InvalidQueryError       exit 2
        ├── StorageError            exit 2
        ├── AliasConflictError
        ├── SignatureError
        └── IntegrityError
"""

from collections.abc import Iterable, Sequence
from typing import Final

from adapterhub_lite_registry.errors import (
    AdapterHubError,
    AliasConflictError,
    IntegrityError,
    InUseError,
    InvalidManifestError,
    InvalidNameError,
    InvalidQueryError,
    NotFoundError,
    RegistryError,
    SignatureError,
    StorageError,
)

__all__ = [
    "AdapterHubError",
    "AliasConflictError",
    "BaseModelError",
    "CapabilityError",
    "DataError",
    "InUseError",
    "IntegrityError",
    "InvalidManifestError",
    "InvalidNameError",
    "InvalidQueryError",
    "MergeError",
    "MissingDependencyError",
    "NonFiniteError",
    "NotFoundError",
    "PluginConflictError",
    "PluginError",
    "RecipeError",
    "RegistryError",
    "RemoteError",
    "SelfTestError",
    "SignatureError",
    "StorageError",
    "TrainingError",
    "UnknownNameError",
    "UserError",
]


LISTED: Final = 9
"""How many known names the hint of an unknown one lists."""


class UserError(AdapterHubError):
    """What was asked for cannot be done as asked."""

    exit_code = 2


class RecipeError(UserError):
    """A key or a value in a recipe is wrong; ``field`` is its dotted path."""

    def __init__(self, message: str, *, field: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.field = field


class DataError(UserError):
    """Rows cannot be read, or cannot be trained on; ``path`` is the file or folder."""

    def __init__(self, message: str, *, path: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path


class BaseModelError(UserError):
    """A base model is missing or of the wrong kind; ``ref`` is what the user wrote."""

    def __init__(self, message: str, *, ref: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.ref = ref


class UnknownNameError(UserError):
    """No plugin offers a ``kind`` called ``name``; ``nearest`` is what was probably meant."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        choices = sorted(known)
        self.kind = kind
        self.name = name
        self.nearest = nearest_name(name, choices)
        hint = f"did you mean {self.nearest!r}? " if self.nearest else ""
        listing = ", ".join(_some(name, choices)) or "none"
        more = "" if len(choices) <= LISTED else f", … (see: ahl {_command(kind)} list)"
        super().__init__(f"unknown {kind} {name!r}", hint=f"{hint}known: {listing}{more}")


class CapabilityError(UserError):
    """The parts exist but do not fit together; the hint names the nearest thing that works."""


class MissingDependencyError(UserError):
    """An optional library is not installed; ``install`` is the pip line that brings it."""

    def __init__(self, what: str, *, install: str) -> None:
        super().__init__(f"{what} is not installed", hint=f"run: {install}")
        self.install = install


class PluginError(AdapterHubError):
    """Somebody's plugin misbehaved; ``plugin`` names its distribution or entry point."""

    def __init__(self, message: str, *, plugin: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.plugin = plugin


class PluginConflictError(PluginError):
    """Two distributions offer the same name for the same kind of thing."""

    exit_code = 2


class MergeError(UserError):
    """Inputs cannot be merged as they are; ``tensor`` names where, when it is one."""

    def __init__(self, message: str, *, tensor: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.tensor = tensor


class TrainingError(AdapterHubError):
    """A run failed; nothing was published."""


class NonFiniteError(TrainingError):
    """The loss or a weight became NaN or infinite at ``step``."""

    def __init__(self, message: str, *, step: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.step = step


class SelfTestError(TrainingError):
    """The artifact, reloaded into a fresh object, does not answer as the trained one did."""


class RemoteError(AdapterHubError):
    """A remote cannot be reached, or refuses what is asked; ``remote`` is its address."""

    def __init__(self, message: str, *, remote: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.remote = remote


def nearest_name(name: str, choices: Iterable[str]) -> str | None:
    """The choice that ``name`` is probably a misspelling of, or None when none is close."""
    from difflib import get_close_matches

    by_folded = {choice.casefold(): choice for choice in choices}
    found = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def _some(name: str, choices: Sequence[str]) -> list[str]:
    """Return all choices, or of many the most alike, in order."""
    from difflib import get_close_matches

    if len(choices) <= LISTED:
        return list(choices)
    return sorted(get_close_matches(name, choices, n=LISTED, cutoff=0.0))


def _command(kind: str) -> str:
    """Return the command group that lists things of a kind."""
    if kind == "strategy":
        return "strategies"
    return f"{kind}s" if kind in ("method", "objective", "loader") else "plugins"
