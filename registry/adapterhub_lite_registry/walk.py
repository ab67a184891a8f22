"""Going over what is stored by digest."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from adapterhub_lite_registry.io import FileIO

_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Tally:
    """So many files of so many bytes."""

    files: int = 0
    bytes: int = 0

    def plus(self, size: int) -> "Tally":
        """Return the tally with one more file."""
        return Tally(self.files + 1, self.bytes + size)


def stored(io: FileIO, root: str) -> Iterator[tuple[str, str, bool]]:
    """Yield name and path of all that lies in the shards, and whether it belongs there."""
    for shard in sorted(io.listdir(root)):
        for entry in sorted(io.listdir(f"{root}/{shard}")):
            belongs = _HEX.fullmatch(entry) is not None and entry.startswith(shard)
            yield entry, f"{root}/{shard}/{entry}", belongs


def tally(io: FileIO, path: str) -> Tally:
    """Count the files at or below a path; what vanishes meanwhile is not counted.

    A file that has other names gives no bytes back when this one goes, and counts none.
    """
    try:
        entries = io.listdir(path)
    except NotADirectoryError:
        found = io.lstat(path)
        return Tally(1, found.st_size if found.st_nlink == 1 else 0)
    except FileNotFoundError:
        return Tally()
    files = size = 0
    for entry in entries:
        below = tally(io, f"{path}/{entry}")
        files, size = files + below.files, size + below.bytes
    return Tally(files, size)
