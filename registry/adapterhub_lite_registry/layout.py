"""Where things lie in a registry's home, and how a new home is laid out.

::

    FORMAT                            written last: all below it is durable
    blobs/sha256/ab/<hex>             files of versions, read-only
    manifests/sha256/ab/<hex>         manifests, canonical JSON
    refs/<name>/v/00000007            version → manifest; its exclusive creation is the commit
    refs/<name>/alias/prod            a copy of a version's reference
    journal/aliases.log               every alias move, one JSON object a line
    evaluations/<hex>/                what a version scored later; made when it is
    signatures/<hex>/                 who vouches for a version; made when somebody does
    checkouts/<hex>/                  folder views of versions, rebuilt when lost
    links/<hex>                       checkouts that need the store's files; made when one does
    verified/                         what files looked like when they were last hashed
    damaged/                          marks of what is lost; made when something is
    quarantine/<time>-<token>/        what nothing needs, or is damaged, before it is gone
    config.json                       quota, remotes, whom to trust; made when it is set
    tmp/                              writes in progress
    index.db                          what is searched, rebuilt when lost
"""

from pathlib import Path

from adapterhub_lite_registry.errors import NotFoundError, RegistryError
from adapterhub_lite_registry.io import FileIO, ensure_dir, exists, parent, read_small
from adapterhub_lite_registry.temporary import Workspace

FORMAT = b"adapterhub-lite-registry 1\n"
_SHARDS = tuple(f"{number:02x}" for number in range(256))


class Layout:
    """The paths in a home; plain strings, since some are built a hundred thousand times."""

    def __init__(self, home: Path) -> None:
        self.home = str(home)
        self.format = f"{self.home}/FORMAT"
        self.blobs = f"{self.home}/blobs/sha256"
        self.manifests = f"{self.home}/manifests/sha256"
        self.refs = f"{self.home}/refs"
        self.journal = f"{self.home}/journal"
        self.checkouts = f"{self.home}/checkouts"
        self.verified = f"{self.home}/verified"
        self.tmp = f"{self.home}/tmp"  # noqa: S108 -- our own, not the shared one
        self.evaluations = f"{self.home}/evaluations"
        self.signatures = f"{self.home}/signatures"
        self.index = f"{self.home}/index.db"

    def blob(self, sha256: str) -> str:
        """Return where the blob with that hex digest lies."""
        return f"{self.blobs}/{sha256[:2]}/{sha256}"

    def manifest(self, digest: str) -> str:
        """Return where the manifest with that digest (``sha256:…``) lies."""
        sha256 = digest.removeprefix("sha256:")
        return f"{self.manifests}/{sha256[:2]}/{sha256}"

    def versions(self, name: str) -> str:
        """Return the folder of a name's version references."""
        return f"{self.refs}/{name}/v"

    def version(self, name: str, number: int) -> str:
        """Return where a version's reference lies."""
        return f"{self.refs}/{name}/v/{number:08d}"

    def aliases(self, name: str) -> str:
        """Return the folder of a name's aliases."""
        return f"{self.refs}/{name}/alias"

    def alias(self, name: str, alias: str) -> str:
        """Return where an alias lies."""
        return f"{self.refs}/{name}/alias/{alias}"

    def relative(self, path: str) -> str:
        """Return ``path`` as seen from the home, for messages."""
        return path.removeprefix(f"{self.home}/")


def open_layout(home: Path, io: FileIO, *, create: bool) -> Layout:
    """Return the layout of a registry, laying it out first if it is new.

    NotFoundError if there is none and it may not be created; RegistryError if it was written by
    something this version does not know.
    """
    layout = Layout(home)
    if not exists(io, layout.format):
        if not create:
            raise NotFoundError(
                f"no registry at {home}", hint="publish something first, or check --home"
            )
        _create(layout, io)
    if read_small(io, layout.format, len(FORMAT)) != FORMAT:
        raise RegistryError(
            f"{layout.format} is damaged or of a newer format", hint="upgrade adapterhub-lite"
        )
    return layout


def _create(layout: Layout, io: FileIO) -> None:
    """Lay out a home; safe to be interrupted, repeated, and done by several at once.

    All shards are made here, so that a publish never has to sync more than the shards it uses.
    """
    _ensure_durable(layout.home, io)
    for shards in (layout.blobs, layout.manifests):
        ensure_dir(io, parent(shards))
        ensure_dir(io, shards)
        for shard in _SHARDS:
            ensure_dir(io, f"{shards}/{shard}")
        io.fsync_dir(shards)
        io.fsync_dir(parent(shards))
    for folder in (layout.refs, layout.journal, layout.checkouts, layout.verified, layout.tmp):
        ensure_dir(io, folder)
    io.fsync_dir(layout.home)  # before anybody can see FORMAT and rely on the rest
    with Workspace(io, layout.tmp) as work:
        io.rename(work.write(FORMAT), layout.format)
    io.fsync_dir(layout.home)


def _ensure_durable(folder: str, io: FileIO) -> None:
    """Create a folder with its parents, syncing the parent of each one that was missing."""
    if exists(io, folder):
        return
    _ensure_durable(parent(folder) or "/", io)
    ensure_dir(io, folder)
    io.fsync_dir(parent(folder) or "/")
