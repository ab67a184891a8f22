"""Which files are known to be damaged, with nothing to mend them from.

::

    damaged/blob-<hex>      one record each; also manifest-<hex>

A mark stands as long as its file is missing: whoever brings the bytes back need not know of it.
"""

from typing import Literal

from pydantic import ValidationError

from adapterhub_lite_registry.io import FileIO, ensure_dir, exists, read_small
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.manifest import Many, Record, Sha256, Text, Timestamp
from adapterhub_lite_registry.temporary import Workspace

_LIMIT = 8 << 20


Kind = Literal["blob", "manifest"]


class Mark(Record):
    """A file that is damaged: what it is, since when it is known, and which versions need it."""

    what: Kind
    sha256: Sha256
    reason: Text
    versions: Many[Text]
    time: Timestamp


class Marks:
    """Keeps the marks, durably."""

    def __init__(self, io: FileIO, layout: Layout) -> None:
        self._io = io
        self._layout = layout
        self._root = f"{layout.home}/damaged"

    def put(self, mark: Mark) -> None:
        """Keep a mark, in the place of an older one for the same file."""
        ensure_dir(self._io, self._root)
        self._io.fsync_dir(self._layout.home)
        with Workspace(self._io, self._layout.tmp) as work:
            written = work.write(mark.model_dump_json().encode())
            self._io.rename(written, f"{self._root}/{mark.what}-{mark.sha256}")
        self._io.fsync_dir(self._root)

    def remove(self, what: Kind, sha256: str) -> None:
        """Remove a mark, if there is one: of a file that no version ever had."""
        if exists(self._io, path := f"{self._root}/{what}-{sha256}"):
            self._io.unlink(path)

    def standing(self) -> list[Mark]:
        """Return the marks whose files are missing still."""
        return [mark for _, mark in self._all() if mark is not None and self._is_missing(mark)]

    def clear(self) -> None:
        """Remove the marks whose files are back, and what is no mark."""
        for path, mark in self._all():
            if mark is None or not self._is_missing(mark):
                self._io.unlink(path)

    def _all(self) -> list[tuple[str, Mark | None]]:
        if not exists(self._io, self._root):
            return []
        paths = [f"{self._root}/{entry}" for entry in sorted(self._io.listdir(self._root))]
        return [(path, self._read(path)) for path in paths]

    def _read(self, path: str) -> Mark | None:
        try:
            return Mark.model_validate_json(read_small(self._io, path, _LIMIT))
        except (ValidationError, FileNotFoundError):
            return None

    def _is_missing(self, mark: Mark) -> bool:
        if mark.what == "blob":
            return not exists(self._io, self._layout.blob(mark.sha256))
        return not exists(self._io, self._layout.manifest(mark.sha256))
