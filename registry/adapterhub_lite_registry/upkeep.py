"""What looks after a registry's files: checking, mending, collecting, settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from adapterhub_lite_registry.aliases import AliasStore
from adapterhub_lite_registry.catchup import CatchUp
from adapterhub_lite_registry.config import Config, ConfigStore
from adapterhub_lite_registry.errors import InvalidQueryError
from adapterhub_lite_registry.faults import guarded
from adapterhub_lite_registry.fsck import Checker, FsckReport, Progress, Reading
from adapterhub_lite_registry.gc import GRACE, Collector, GcReport
from adapterhub_lite_registry.index import Index
from adapterhub_lite_registry.io import FileIO
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.marks import Marks
from adapterhub_lite_registry.problems import Problem
from adapterhub_lite_registry.refs import RefStore
from adapterhub_lite_registry.repair import ByteSource, Outcome, Repairer
from adapterhub_lite_registry.space import Space
from adapterhub_lite_registry.versions import VersionReader
from adapterhub_lite_registry.views import Views


class Upkeep:
    """The part of :class:`Registry` that looks after its files."""

    def __init__(self, home: Path, layout: Layout, io: FileIO) -> None:
        self.home = home
        self._io = io
        self._layout = layout
        self._refs = RefStore(io, layout)
        self._reader = VersionReader(io, layout, self._refs)
        self._aliases = AliasStore(io, layout, self._refs)
        self._views = Views(io, layout)
        self._index = Index(layout, CatchUp(io, layout, self._refs, self._reader))

    @guarded("check the registry")
    def fsck(
        self,
        ref: str | None = None,
        *,
        read_data: bool = False,
        sample: Reading | None = None,
        progress: Progress | None = None,
    ) -> FsckReport:
        """Check all that is here, or all that one version needs, and report what is wrong.

        The files of versions have to be there, of the right size; with ``read_data`` they are
        read and hashed, with ``sample`` a share of them. InvalidNameError or NotFoundError if
        there is no such version.
        """
        if sample is not None and not 0 < sample.share <= 1:
            raise InvalidQueryError(
                f"a sample of {sample.share:.4g} is no share", hint="more than 0, 1 at most"
            )
        reading = Reading() if read_data else sample
        checker = Checker(self._io, self._layout, self._refs, self._reader, progress)
        if ref is None:
            return checker.everything(reading, self._indexed)
        return checker.version(*self._reader.locate(ref), reading)

    @guarded("repair the registry")
    def repair(
        self,
        ref: str | None = None,
        *,
        sources: Sequence[tuple[str, ByteSource]] = (),
        progress: Progress | None = None,
    ) -> list[Outcome]:
        """Read and hash everything, or one version, and mend what is damaged.

        ``sources`` are names and places that are asked for lost bytes. What nobody has is marked,
        and its damaged bytes go to quarantine; see :meth:`damaged`.
        """
        repairer = Repairer(self._io, self._layout, self._refs, self._reader, sources)
        done = repairer.run(lambda: self.fsck(ref, read_data=True, progress=progress))
        if any(outcome.mended for outcome in done):
            self._index.reset()  # it may hold what it could not read before
        return done

    @guarded("collect garbage")
    def gc(
        self, *, grace: float = GRACE, quarantine: float = GRACE, dry_run: bool = False
    ) -> GcReport:
        """Move what nothing needs to quarantine, and empty that of what lay there long enough.

        ``grace`` and ``quarantine`` are seconds: how old a file has to be, and how long it stays
        in quarantine. Publishers may go on meanwhile, and one that pulls needs the grace.
        IntegrityError if damage hides what is needed.
        """
        collector = Collector(
            self._io,
            self._layout,
            self._refs,
            self._reader,
            grace=grace,
            quarantine_grace=quarantine,
            dry_run=dry_run,
        )
        return collector.run()

    @guarded("read the marks")
    def damaged(self) -> dict[str, str]:
        """Return the versions that a repair marked as damaged, and why; it needs no index."""
        return {
            ref: mark.reason
            for mark in Marks(self._io, self._layout).standing()
            for ref in mark.versions
        }

    @property
    @guarded("read the settings")
    def config(self) -> Config:
        """The registry's settings; IntegrityError if they cannot be read."""
        return ConfigStore(self._io, self._layout).read()

    @guarded("write the settings")
    def configure(self, config: Config) -> None:
        """Replace the settings."""
        ConfigStore(self._io, self._layout).write(config)

    @guarded("look for room")
    def check_space(self, needed: int) -> None:
        """Refuse with a StorageError if ``needed`` bytes have no room; warn above the quota."""
        Space(self._io, self._layout).check(needed)

    @guarded("count the files")
    def used(self) -> int:
        """Return the bytes of all files of versions, those included that nothing needs."""
        return Space(self._io, self._layout).used()

    @guarded("rebuild the index")
    def reindex(self) -> int:
        """Build the index anew from the files; return how many versions it holds."""
        self._index.reset()
        return self._index.ask(lambda found: int(found.execute(_COUNT).fetchone()[0]))

    @guarded("read the index")
    def unreadable(self) -> list[Problem]:
        """Return the versions that no search can find, because they are damaged."""
        rows = self._index.ask(lambda found: found.execute(_DAMAGED).fetchall())
        return [
            Problem(
                self._layout.relative(self._layout.version(name, number)),
                damage,
                (f"{name}@{number}",),
            )
            for name, number, damage in rows
        ]

    def _indexed(self) -> Mapping[tuple[str, int], str]:
        rows = self._index.ask(lambda found: found.execute(_VERSIONS).fetchall())
        return {(name, number): digest for name, number, digest in rows}


_COUNT = "SELECT count(*) FROM versions"
_DAMAGED = "SELECT name, number, damage FROM refs WHERE damage IS NOT NULL ORDER BY name, number"
_VERSIONS = "SELECT name, number, digest FROM versions"
