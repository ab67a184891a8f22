"""How an operating system's refusal becomes a StorageError."""

import errno
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from adapterhub_lite_registry.errors import StorageError

P = ParamSpec("P")
R = TypeVar("R")

_NO_SPACE = "free some space, or choose another place with --home; nothing was changed"
_NO_ACCESS = "check who owns the registry, or choose another place with --home"

_HINTS = {
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: _NO_SPACE,
    errno.EACCES: _NO_ACCESS,
    errno.EPERM: _NO_ACCESS,
    errno.EROFS: _NO_ACCESS,
    errno.EIO: "the disk may be failing: copy the registry, then run: ahl fsck --read-data",
    errno.EXDEV: "the registry must lie on one file system",
    errno.EOPNOTSUPP: "the registry needs a file system with hard links",
}


def storage_error(action: str, error: OSError) -> StorageError:
    """Return the error that tells a person what the disk refused, and what to do."""
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    place = f": {error.filename}" if error.filename else ""
    return StorageError(f"cannot {action}: {reason}{place}", hint=_HINTS.get(error.errno or 0, ""))


def guarded(action: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Turn any OSError that leaves the function into a StorageError naming ``action``."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except OSError as error:
                raise storage_error(action, error) from error

        return call

    return decorate
