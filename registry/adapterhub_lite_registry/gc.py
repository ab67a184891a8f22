"""Collecting what nothing needs: mark, sweep into quarantine, and empty that later.

Marking reads references without a lock; sweeping holds the lock that publishers share, looks once
more for what was published meanwhile, and takes away only what is older than the grace. What is in
quarantine and needed after all (on a file system whose locks do not work, say) goes back.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from adapterhub_lite_registry.errors import IntegrityError
from adapterhub_lite_registry.io import FileIO, exists, remove_tree
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.locks import PublishLock
from adapterhub_lite_registry.marks import Marks
from adapterhub_lite_registry.needs import Needs
from adapterhub_lite_registry.quarantine import Quarantine
from adapterhub_lite_registry.refs import RefStore
from adapterhub_lite_registry.stamps import hash_file
from adapterhub_lite_registry.temporary import sweep
from adapterhub_lite_registry.versions import VersionReader
from adapterhub_lite_registry.walk import Tally, stored, tally

DAY = 24 * 3600.0
GRACE = 14 * DAY
"""How long files stay that nothing needs, in seconds; and then as long again in quarantine."""


@dataclass(frozen=True)
class GcReport:
    """What a collection did, or would do: files and their bytes.

    ``moved`` went to quarantine, ``young`` will go when the grace is over, ``emptied`` left the
    quarantine for good, ``quarantined`` lie there now, ``restored`` came back from there.
    ``leftovers`` of killed runs and ``folders`` (views, evaluations, signatures) of removed
    versions are gone.
    """

    moved: Tally
    young: Tally
    emptied: Tally
    quarantined: Tally
    restored: Tally
    leftovers: Tally
    folders: Tally
    dry_run: bool


@dataclass(frozen=True)
class _Loose:
    """A stored file that nothing needs."""

    path: str
    name: str
    size: int
    age: float


class Collector:
    """Runs one collection."""

    def __init__(
        self,
        io: FileIO,
        layout: Layout,
        refs: RefStore,
        reader: VersionReader,
        *,
        grace: float,
        quarantine_grace: float,
        dry_run: bool,
    ) -> None:
        self._io = io
        self._layout = layout
        self._refs = refs
        self._grace = grace
        self._quarantine_grace = quarantine_grace
        self._dry_run = dry_run
        self._needs = Needs(io, layout, refs, reader)
        self._quarantine = Quarantine(io, layout)

    def run(self) -> GcReport:
        """Collect; IntegrityError if damage hides what a version needs."""
        self._look()
        if self._dry_run:
            return self._collect()
        with PublishLock(self._layout).alone():
            self._look()
            for name in self._refs.names():
                if exists(self._io, self._layout.versions(name)):
                    # A removal that was killed may be seen here, and undone by a power cut.
                    self._io.fsync_dir(self._layout.versions(name))
            return self._collect()

    def _look(self) -> None:
        try:
            self._needs.look()
        except IntegrityError as error:
            raise IntegrityError(
                f"nothing is collected, for damage hides what is needed: {error.message}",
                hint="run: ahl repair; what cannot be mended: ahl rm NAME@N",
            ) from error

    def _collect(self) -> GcReport:
        restored = self._restore()
        loose = [
            *self._loose(self._layout.blobs, "blob"),
            *self._loose(self._layout.manifests, "manifest"),
        ]
        old = [file for file in loose if file.age >= self._grace]
        if not self._dry_run:
            self._quarantine.take({file.path: file.name for file in old})
        return GcReport(
            moved=_sum(old),
            young=_sum([file for file in loose if file.age < self._grace]),
            emptied=self._quarantine.empty(self._quarantine_grace, dry_run=self._dry_run),
            quarantined=self._quarantine.tally(),
            restored=restored,
            leftovers=self._sweep(),
            folders=self._drop_folders(),
            dry_run=self._dry_run,
        )

    def _loose(self, root: str, what: str) -> Iterator[_Loose]:
        needed = self._needs.blobs if what == "blob" else self._needs.manifests
        now = time.time()
        for sha256, path, belongs in stored(self._io, root):
            if belongs and sha256 not in needed:
                try:
                    found = self._io.stat(path)
                except FileNotFoundError:
                    continue  # another collector has it; only a dry run meets one
                yield _Loose(path, f"{what}-{sha256}", found.st_size, now - found.st_mtime)

    def _restore(self) -> Tally:
        """Put back what is in quarantine, undamaged, and needed."""
        restored = Tally()
        for name, path in list(self._quarantine.files()):
            what, _, sha256 = name.rpartition("-")
            target = self._place(what, sha256)
            if target is None or exists(self._io, target) or hash_file(self._io, path) != sha256:
                continue
            restored = restored.plus(self._io.stat(path).st_size)
            if not self._dry_run:
                self._quarantine.give_back(path, target)
        return restored

    def _place(self, what: str, sha256: str) -> str | None:
        """Return where a file from quarantine is needed, if it is."""
        if what == "blob" and sha256 in self._needs.blobs:
            return self._layout.blob(sha256)
        if what == "manifest" and sha256 in self._needs.manifests:
            return self._layout.manifest(sha256)
        return None

    def _sweep(self) -> Tally:
        """Remove what runs that were killed left behind."""
        if not self._dry_run:
            Marks(self._io, self._layout).clear()
            self._drop_stamps()
        return sweep(self._io, self._layout.tmp, dry_run=self._dry_run)

    def _drop_stamps(self) -> None:
        for entry in self._io.listdir(self._layout.verified):
            if not exists(self._io, self._layout.blob(entry.partition(".")[0])):
                self._io.unlink(f"{self._layout.verified}/{entry}")

    def _drop_folders(self) -> Tally:
        """Remove views and attachments of versions that are gone; those of others are kept."""
        files = size = 0
        layout = self._layout
        for root in (layout.checkouts, layout.evaluations, layout.signatures):
            for entry in self._io.listdir(root) if exists(self._io, root) else ():
                path = f"{root}/{entry}"
                age = time.time() - self._io.lstat(path).st_mtime
                if f"sha256:{entry}" in self._needs.live or age < self._grace:
                    continue
                found = tally(self._io, path)
                files, size = files + found.files, size + found.bytes
                if not self._dry_run:
                    remove_tree(self._io, path)
        return Tally(files, size)


def _sum(files: list[_Loose]) -> Tally:
    return Tally(len(files), sum(file.size for file in files))
