"""Whether a disk has room for a result, asked before a byte of it is written."""

import shutil
from pathlib import Path
from typing import Final

from adapterhub_lite.errors import StorageError

SPARE_BYTES: Final = 64 * 2**20
"""Room that is left on the disk, for config, tokenizer and the registry's own files."""


def require_space(size: int, folder: Path, *, begun: int = 0) -> None:
    """Raise StorageError when the disk of ``folder`` has no room for a result of ``size`` bytes.

    ``begun`` bytes of it are there already.
    """
    needed = size + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if needed - begun > free:
        raise StorageError(
            f"the result takes {needed / 1e9:.2f} GB, and {folder} has {free / 1e9:.2f} GB",
            hint="free some space, write to another disk, or take a smaller output.dtype",
        )
