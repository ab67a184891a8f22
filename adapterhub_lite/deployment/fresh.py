"""A new folder that appears whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapterhub_lite.errors import DataError


@contextmanager
def fresh_folder(destination: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``destination`` that takes its place when the block succeeds.

    Raises DataError when ``destination`` is there and not an empty folder.
    """
    target = destination.expanduser().absolute()
    _refuse_occupied(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", dir=target.parent))
    try:
        yield beside
        beside.chmod(0o777 & ~_umask())  # mkdtemp's is for the user alone
        _refuse_occupied(target)
        beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _refuse_occupied(target: Path) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise DataError(f"{target} is there already and is no folder", path=str(target))
    if target.is_dir() and any(target.iterdir()):
        raise DataError(
            f"the folder {target} is not empty", path=str(target), hint="give a new or empty folder"
        )


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
