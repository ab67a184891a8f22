"""The registry as its users see it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from adapterhub_lite_registry.aliases import ANY, AliasMove, Expected
from adapterhub_lite_registry.errors import IntegrityError, NotFoundError, RegistryError
from adapterhub_lite_registry.evaluations import EvaluationStore
from adapterhub_lite_registry.exchange import Exchange
from adapterhub_lite_registry.faults import guarded
from adapterhub_lite_registry.io import FileIO
from adapterhub_lite_registry.layout import open_layout
from adapterhub_lite_registry.lineage import Lineage, LineageReader
from adapterhub_lite_registry.manifest import ManifestDraft
from adapterhub_lite_registry.names import check_alias, check_name
from adapterhub_lite_registry.publish import Publisher, Source
from adapterhub_lite_registry.query import Entry, MetricCondition, Query, parse_metric
from adapterhub_lite_registry.removal import RemovalPlan, Remover
from adapterhub_lite_registry.signatures import Signatures
from adapterhub_lite_registry.temporary import Workspace
from adapterhub_lite_registry.upkeep import Upkeep
from adapterhub_lite_registry.versions import Version

HOME_VARIABLE = "ADAPTERHUB_LITE_HOME"


def default_home() -> Path:
    """Return ``$ADAPTERHUB_LITE_HOME``, else a folder in the user's data directory."""
    chosen = os.environ.get(HOME_VARIABLE)
    return Path(chosen) if chosen else platformdirs.user_data_path("adapterhub-lite")


class Registry(Upkeep):
    """Immutable versions of adapters and models, found by name, number or alias.

    It holds no connection and no state but paths: share it between threads, or open it anew;
    both are cheap. Every method raises StorageError when the disk refuses.
    """

    @classmethod
    @guarded("open the registry")
    def open(
        cls, home: Path | None = None, *, create: bool = True, io: FileIO | None = None
    ) -> "Registry":
        """Open the registry at ``home``, laying it out if it is new.

        NotFoundError if there is none and ``create`` is false.
        """
        place = (home or default_home()).expanduser().resolve()
        disk = io or FileIO()
        return cls(place, open_layout(place, disk, create=create), disk)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield an empty folder on the registry's disk, which is gone at the end.

        A file that is made in it can be given over to :meth:`publish` (:class:`Source`).
        """
        with Workspace(self._io, self._layout.tmp) as work:
            yield self._scratch(work.path())

    @guarded("write to the registry")
    def _scratch(self, path: str) -> Path:
        self._io.mkdir(path)
        return Path(path)

    @guarded("publish")
    def publish(
        self,
        name: str,
        files: Mapping[str, Path | bytes | Source],
        draft: ManifestDraft,
        *,
        alias: str | None = None,
    ) -> Version:
        """Publish files as the next version of ``name``, and point ``alias`` at it if given.

        InvalidNameError or InvalidManifestError before anything is written; on any error nothing
        of the version can be seen. Only an alias can fail after the version is published: the
        error then says so.
        """
        if alias is not None:
            check_alias(alias)
        version = Publisher(self._io, self._layout, self._refs).publish(name, files, draft)
        if alias is None:
            return version
        try:
            self._aliases.move(name, alias, version.number, ANY)
        except (RegistryError, OSError) as error:
            raise RegistryError(
                f"{version} is published, but alias {alias!r} could not be set: {error}",
                hint=f"run: ahl alias set {version} {alias}",
            ) from error
        return self._reader.resolve(str(version))

    @guarded("read the registry")
    def resolve(self, ref: str) -> Version:
        """Return the version that ``name``, ``name@7``, ``name@prod`` or ``name@sha256:…`` means.

        A name alone means its newest version. InvalidNameError, NotFoundError, or IntegrityError
        if what is stored is damaged.
        """
        return self._reader.resolve(ref)

    @guarded("read the registry")
    def locate(self, ref: str) -> str:
        """Return the ``name@7`` that a reference means, without reading what that version holds.

        InvalidNameError, NotFoundError, or IntegrityError if the reference itself is damaged.
        """
        return str(self._reader.find(ref))

    @guarded("read the registry")
    def names(self) -> list[str]:
        """Return the names that have a version, sorted."""
        return [name for name in self._refs.names() if self._has_version(name)]

    @guarded("read the registry")
    def versions(self, name: str) -> list[int]:
        """Return a name's version numbers, ascending; NotFoundError if it has none."""
        check_name(name)
        self._refs.newest(name)
        return [n for n in self._refs.numbers(name) if not self._refs.read(name, n).removed]

    @guarded("read the registry")
    def aliases(self, name: str) -> dict[str, int]:
        """Return a name's aliases and the numbers that they point to."""
        return self._refs.aliases(check_name(name))

    @guarded("search the registry")
    def search(
        self,
        text: str | None = None,
        *,
        name: str | None = None,
        base: str | None = None,
        method: str | None = None,
        task: str | None = None,
        kind: str | None = None,
        metric: MetricCondition | list[MetricCondition] | None = None,
        sort: str = "-created",
        latest_only: bool = False,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Entry]:
        """Return the versions that meet every condition.

        ``text`` matches the starts of words in names, descriptions, labels and the like; ``base``
        a reference or the hash of the weights; ``metric`` reads ``accuracy>=0.8``. ``sort`` is
        ``created``, ``name``, ``number``, ``size`` or a metric, which lists only versions that
        have it; ``-`` before it reverses. ``latest_only`` leaves each name its newest version.
        InvalidQueryError if a condition cannot be read or no version has that metric.
        """
        metrics = metric if isinstance(metric, list) else [] if metric is None else [metric]
        query = Query(
            text=text,
            name=name,
            base=base,
            method=method,
            task=task,
            kind=kind,
            metrics=[parse_metric(condition) for condition in metrics],
            sort=sort,
            latest_only=latest_only,
            limit=limit,
            offset=offset,
        )
        return self._index.ask(query.run)

    @guarded("move the alias")
    def set_alias(self, name: str, alias: str, number: int, *, expected: Expected = ANY) -> None:
        """Point an alias at a version.

        With ``expected``, only if it points to that number now (None: only if it is new), else
        AliasConflictError. NotFoundError if there is no such version.
        """
        self._aliases.move(name, alias, number, expected)

    @guarded("remove the alias")
    def remove_alias(self, name: str, alias: str, *, expected: Expected = ANY) -> None:
        """Remove an alias; NotFoundError if there is none, AliasConflictError as for setting."""
        self._aliases.move(name, alias, None, expected)

    @guarded("roll the alias back")
    def rollback(self, name: str, alias: str) -> AliasMove:
        """Point an alias to where it pointed before its last move, by its log; return the move.

        A second rollback undoes the first. NotFoundError if it pointed nowhere before or that
        version was removed, AliasConflictError if somebody moves it at the same moment.
        """
        return self._aliases.roll_back(name, alias)

    @guarded("read the alias log")
    def alias_history(self, name: str, alias: str | None = None) -> list[AliasMove]:
        """Return the moves of a name's aliases, or of one of them, oldest first."""
        return self._aliases.history(name, alias)

    @guarded("read the lineage")
    def lineage(self, ref: str) -> Lineage:
        """Return what a version was made from and what was made from it; raises as resolve."""
        version = self._reader.resolve(ref)
        return self._index.ask(lambda found: LineageReader(found, self._reader).read(version))

    @guarded("read the file")
    def read_file(self, version: Version, path: str) -> bytes:
        """Return one file's bytes, verified; NotFoundError, or IntegrityError if damaged.

        SignatureError where the registry asks for a signature, as with all that gives bytes out.
        """
        self._require_signature(version)
        return self._views.read(version, path)

    @guarded("open the version")
    def path(self, version: Version) -> Path:
        """Return a folder with the version's files, verified, to load from and not to write to.

        IntegrityError names the file that is damaged; SignatureError as for reading one.
        """
        self._require_signature(version)
        return self._views.view(version)

    @guarded("check out")
    def checkout(self, version: Version, destination: Path, *, link: bool = False) -> Path:
        """Write the version's files to a new or empty folder, in one step, and return it.

        They are copies that may be edited; with ``link`` they share the store's bytes and must
        not be. StorageError if the folder is occupied, IntegrityError if a file is damaged,
        SignatureError as for reading one.
        """
        self._require_signature(version)
        return self._views.checkout(version, destination, link=link)

    @guarded("remove the version")
    def remove(self, ref: str, *, dry_run: bool = False) -> RemovalPlan:
        """Remove a version, or only say what stands against it; its number is never reused.

        InUseError if an alias points to it or a child was made from it. Its bytes stay until
        they are collected; the records of its evaluations and its signatures go.
        """
        name, number = self._reader.locate(ref)
        found = self._refs.live(name, number)
        children = self._index.ask(
            lambda index: LineageReader(index, self._reader).child_refs(found.digest)
        )
        try:
            size = self._reader.load(found).manifest.size
        except IntegrityError:
            size = None  # it can go all the same
        remover = Remover(self._io, self._layout, self._refs, self._aliases)
        if dry_run:
            return remover.plan(found, size, children)
        done = remover.remove(found, size, children)
        self.evaluations.forget(found.digest)
        self.signatures.forget(found.digest)
        return done

    @property
    def evaluations(self) -> EvaluationStore:
        """What versions scored after they were published."""
        return EvaluationStore(self._io, self._layout)

    @property
    def signatures(self) -> Signatures:
        """Who vouches for versions, and whether this registry asks for that."""
        return Signatures(self._io, self._layout)

    @property
    def exchange(self) -> Exchange:
        """Bytes and manifests as they are, on their way to and from another store."""
        return Exchange(self._io, self._layout, self._refs, self._reader)

    def _require_signature(self, version: Version) -> None:
        self.signatures.require(version.manifest, version.digest, str(version))

    def _has_version(self, name: str) -> bool:
        try:
            self._refs.newest(name)
        except NotFoundError:
            return False
        return True
