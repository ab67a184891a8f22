"""Small files beside versions: what is told of one after it was published, since it never changes.

::

    <root>/<hex of the version's digest>/<name>

A name tells whether the bytes are still those that were written. Removing a version removes its
attachments; a collection removes those that a killed removal left.
"""

from adapterhub_lite_registry.io import FileIO, ensure_dir, exists, read_small, remove_tree
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.temporary import Workspace


class Attachments:
    """Attachments of one kind; every method raises OSError."""

    def __init__(self, io: FileIO, layout: Layout, root: str) -> None:
        self._io = io
        self._layout = layout
        self._root = root

    def put(self, digest: str, name: str, data: bytes) -> None:
        """Keep a file beside the version with that digest, durably and in one step."""
        folder = self._folder(digest)
        self._prepare(folder)
        with Workspace(self._io, self._layout.tmp) as work:
            self._io.rename(work.write(data, mode=0o444), f"{folder}/{name}")
        self._io.fsync_dir(folder)

    def names(self, digest: str) -> list[str]:
        """Return the names of a version's files, sorted."""
        folder = self._folder(digest)
        return sorted(self._io.listdir(folder)) if exists(self._io, folder) else []

    def read(self, digest: str, name: str, limit: int) -> bytes:
        """Return a file's bytes, reading at most one more than ``limit``."""
        return read_small(self._io, f"{self._folder(digest)}/{name}", limit)

    def place(self, digest: str, name: str) -> str:
        """Return where a file lies, as seen from the home."""
        return self._layout.relative(f"{self._folder(digest)}/{name}")

    def forget(self, digest: str) -> None:
        """Remove a version's files; a power cut may leave them to a collection."""
        if exists(self._io, self._root):
            remove_tree(self._io, self._folder(digest))

    def _folder(self, digest: str) -> str:
        return f"{self._root}/{digest.removeprefix('sha256:')}"

    def _prepare(self, folder: str) -> None:
        """Make the folders durable; another process may be making them too, so sync always."""
        ensure_dir(self._io, self._root)
        self._io.fsync_dir(self._layout.home)
        ensure_dir(self._io, folder)
        self._io.fsync_dir(self._root)
