"""Checkouts that point into the store by symbolic links, and so need its files to stay.

Checkouts share bytes by hard links, which need nothing of the store; across file systems that
cannot be, and a record is kept here before the checkout is there.

::

    links/<SHA-256 of the checkout's path>    {"path": …, "digest": …}
"""

import hashlib

from pydantic import ValidationError

from adapterhub_lite_registry.errors import IntegrityError
from adapterhub_lite_registry.io import FileIO, ensure_dir, exists, read_small
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.manifest import Digest, Record, Text
from adapterhub_lite_registry.temporary import Workspace

_LIMIT = 1 << 16


class _Link(Record):
    path: Text
    digest: Digest


class Links:
    """Remembers which versions are linked to from outside."""

    def __init__(self, io: FileIO, layout: Layout) -> None:
        self._io = io
        self._layout = layout
        self._root = f"{layout.home}/links"

    def add(self, path: str, digest: str) -> None:
        """Remember, durably, that the folder at ``path`` links to the files of a version."""
        ensure_dir(self._io, self._root)
        self._io.fsync_dir(self._layout.home)
        data = _Link(path=path, digest=digest).model_dump_json().encode()
        with Workspace(self._io, self._layout.tmp) as work:
            name = hashlib.sha256(path.encode()).hexdigest()
            self._io.rename(work.write(data), f"{self._root}/{name}")
        self._io.fsync_dir(self._root)

    def digests(self) -> set[str]:
        """Return the versions that are linked to from folders that are still there."""
        if not exists(self._io, self._root):
            return set()
        found = set()
        for entry in self._io.listdir(self._root):
            try:
                link = _Link.model_validate_json(
                    read_small(self._io, f"{self._root}/{entry}", _LIMIT)
                )
            except ValidationError as error:
                raise IntegrityError(
                    f"links/{entry} cannot be read: it says which checkout needs which files",
                    hint=f"if no checkout made with --link needs it: rm {self._root}/{entry}",
                ) from error
            if exists(self._io, link.path):
                found.add(link.digest)
        return found
