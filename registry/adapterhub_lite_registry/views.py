"""Folders made of a version's files: the store's own view of it, and checkouts for people."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from stat import S_ISLNK

from adapterhub_lite_registry.errors import IntegrityError, NotFoundError, StorageError
from adapterhub_lite_registry.io import FileIO, closing, exists, parent, read_chunks, read_small
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.links import Links
from adapterhub_lite_registry.manifest import FileEntry
from adapterhub_lite_registry.names import nearest_hint
from adapterhub_lite_registry.stamps import Stamps
from adapterhub_lite_registry.temporary import Workspace
from adapterhub_lite_registry.versions import Version

Placer = Callable[[str, str], None]


class Views:
    """Builds folders in a workspace and moves them into place whole."""

    def __init__(self, io: FileIO, layout: Layout) -> None:
        self._io = io
        self._layout = layout
        self._stamps = Stamps(io, layout)
        self._links = Links(io, layout)

    def view(self, version: Version) -> Path:
        """Return the version's folder in the store, its bytes verified.

        A view that lost or gained a file, or had one replaced, is built again. IntegrityError
        names the file whose stored bytes are damaged.
        """
        folder = f"{self._layout.checkouts}/{version.digest.removeprefix('sha256:')}"
        if not self._is_intact(version, folder):
            with Workspace(self._io, self._layout.tmp) as work:
                fresh = self._build(version, work.path(), self._link)
                self._replace(folder, fresh, work)
        return Path(folder)

    def checkout(self, version: Version, destination: Path, *, link: bool) -> Path:
        """Write the version's files to ``destination`` in one step and return it.

        Without ``link`` they are copies (clones, where the file system can), free to be edited.
        StorageError if the destination is not empty, IntegrityError if stored bytes are damaged.
        """
        target, files = destination.expanduser().resolve(), version.manifest.files
        self._refuse_occupied(target)
        self._make_parents(str(target.parent))
        with Workspace(self._io, str(target.parent)) as work:
            beside = work.path(prefix=f".{target.name[:100]}.")
            built = self._build(version, beside, self._link if link else self._copy)
            if any(S_ISLNK(self._io.lstat(f"{built}/{e.path}").st_mode) for e in files):
                self._links.add(str(target), version.digest)
            self._io.rename(built, target)
        return target

    def read(self, version: Version, path: str) -> bytes:
        """Return one file's bytes; NotFoundError, or IntegrityError if they are damaged."""
        entry = version.manifest.file(path)
        if entry is None:
            known = [entry.path for entry in version.manifest.files]
            hint = nearest_hint(path, known, "files")
            raise NotFoundError(f"{version} has no file {path!r}", hint=hint)
        try:
            data = read_small(self._io, self._layout.blob(entry.sha256), entry.size)
        except FileNotFoundError:
            raise damaged(version, entry) from None
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise damaged(version, entry)
        return data

    def _is_intact(self, version: Version, folder: str) -> bool:
        files = version.manifest.files
        return self._listing(folder) == {entry.path for entry in files} and all(
            self._stamps.matches(f"{folder}/{entry.path}", entry.sha256, entry.size)
            for entry in files
        )

    def _listing(self, folder: str, prefix: str = "") -> set[str]:
        found: set[str] = set()
        try:
            names = self._io.listdir(folder)
        except FileNotFoundError:
            return found
        except NotADirectoryError:
            return {prefix.rstrip("/")}
        for name in names:
            found |= self._listing(f"{folder}/{name}", f"{prefix}{name}/")
        return found

    def _build(self, version: Version, folder: str, place: Placer) -> str:
        """Fill a new folder and verify what it was filled with."""
        self._io.mkdir(folder)
        made = {folder}
        for entry in version.manifest.files:
            target = f"{folder}/{entry.path}"
            self._make_folders(parent(target), made)
            try:
                place(self._layout.blob(entry.sha256), target)
            except FileNotFoundError:
                raise damaged(version, entry) from None
            if not self._stamps.matches(target, entry.sha256, entry.size):
                raise damaged(version, entry)
        return folder

    def _replace(self, folder: str, fresh: str, work: Workspace) -> None:
        if exists(self._io, folder):
            self._io.rename(folder, work.path())
        try:
            self._io.rename(fresh, folder)
        except OSError:
            if not exists(self._io, folder):
                raise  # else another process has just built the same view

    def _make_folders(self, folder: str, made: set[str]) -> None:
        if folder not in made:
            self._make_folders(parent(folder), made)
            self._io.mkdir(folder)
            made.add(folder)

    def _make_parents(self, folder: str) -> None:
        if not exists(self._io, folder):
            self._make_parents(parent(folder))
            self._io.mkdir(folder)

    def _link(self, blob: str, target: str) -> None:
        for attempt in (self._io.link, self._io.symlink):
            try:
                attempt(blob, target)
            except OSError:
                continue
            return
        self._copy(blob, target)

    def _copy(self, blob: str, target: str) -> None:
        try:
            self._io.reflink(blob, target)
        except OSError:
            with closing(self._io, self._io.create(target)) as fd:
                for chunk in read_chunks(self._io, blob):
                    self._io.write(fd, chunk)

    def _refuse_occupied(self, target: Path) -> None:
        try:
            occupied = bool(self._io.listdir(target))
        except FileNotFoundError:
            return
        except NotADirectoryError:
            occupied = True
        if occupied:
            raise StorageError(
                f"{target} exists and is not an empty folder", hint="choose a new folder"
            )


def damaged(version: Version, entry: FileEntry) -> IntegrityError:
    """Return the error for a file whose stored bytes are not those that were published."""
    return IntegrityError(
        f"{version}: {entry.path} is damaged or missing", hint=f"run: ahl repair {version}"
    )
