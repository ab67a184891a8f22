"""What is needed: the mark of mark and sweep."""

from adapterhub_lite_registry import codec
from adapterhub_lite_registry.errors import IntegrityError, NotFoundError
from adapterhub_lite_registry.io import FileIO, read_small
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.links import Links
from adapterhub_lite_registry.refs import RefStore, version_number
from adapterhub_lite_registry.versions import VersionReader


class Needs:
    """Collects the manifests and blobs that versions, aliases, children and checkouts need.

    Looking again reads only what is new, so that the second look, under the lock, is short. What
    was removed between the two is kept until the next time.
    """

    def __init__(self, io: FileIO, layout: Layout, refs: RefStore, reader: VersionReader) -> None:
        self._io = io
        self._layout = layout
        self._refs = refs
        self._reader = reader
        self._seen: dict[str, dict[int, int]] = {}
        self._followed: set[str] = set()
        self.manifests: set[str] = set()
        self.blobs: set[str] = set()
        self.live: set[str] = set()

    def look(self) -> None:
        """Take in what the references name now.

        IntegrityError if one of them or its manifest is damaged: nobody knows then what it needs.
        """
        for name in self._refs.names():
            self._look_at(name)
            for alias in self._refs.aliases(name):
                self._keep_alias(name, alias)
        for digest in Links(self._io, self._layout).digests():
            self._keep(digest, "a checkout made with --link")

    def _look_at(self, name: str) -> None:
        try:
            entries = self._io.inodes(self._layout.versions(name))
        except FileNotFoundError:
            return  # the name is just being made
        seen = self._seen.setdefault(name, {})
        for entry, inode in entries.items():
            number = version_number(entry)
            if number is None or seen.get(number) == inode:
                continue
            ref = self._refs.read(name, number)
            if not ref.removed:
                self._keep(ref.digest, f"{name}@{number}")
            seen[number] = inode

    def _keep_alias(self, name: str, alias: str) -> None:
        try:
            self._keep(self._refs.read_alias(name, alias).digest, f"{name}@{alias}")
        except NotFoundError:
            return  # it was removed just now

    def _keep(self, digest: str, who: str) -> None:
        if digest in self.live:
            return
        manifest = self._reader.manifest(digest, who)
        self.live.add(digest)
        self.manifests.add(digest.removeprefix("sha256:"))
        self.blobs.update(entry.sha256 for entry in manifest.files)
        for parent in manifest.parents:
            self._follow(parent.digest)

    def _follow(self, digest: str) -> None:
        """Keep the manifests of ancestors that are here: they say where a version comes from."""
        waiting = [digest]
        while waiting:
            above = waiting.pop()
            sha256 = above.removeprefix("sha256:")
            if above in self._followed:
                continue
            self._followed.add(above)
            self.manifests.add(sha256)
            try:
                data = read_small(self._io, self._layout.manifest(above), codec.MAX_BYTES)
                manifest = codec.decode(data, above, above)
            except (FileNotFoundError, IntegrityError):
                continue  # it lives elsewhere, or says nothing any more
            waiting.extend(parent.digest for parent in manifest.parents)
