"""From a reference to the version it means."""

from dataclasses import dataclass, field

from adapterhub_lite_registry import codec
from adapterhub_lite_registry.errors import IntegrityError, NotFoundError
from adapterhub_lite_registry.io import FileIO, read_small
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.manifest import Manifest
from adapterhub_lite_registry.names import Reference, parse_reference
from adapterhub_lite_registry.refs import Ref, RefStore


@dataclass(frozen=True)
class Version:
    """One immutable published artifact; ``aliases`` are those it had when it was looked up."""

    name: str
    number: int
    digest: str
    manifest: Manifest = field(repr=False)
    aliases: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"


class VersionReader:
    """Resolves references from the files alone; the index has no part in it."""

    def __init__(self, io: FileIO, layout: Layout, refs: RefStore) -> None:
        self._io = io
        self._layout = layout
        self._refs = refs

    def resolve(self, text: str) -> Version:
        """Return the version that a reference means.

        InvalidNameError if it breaks the grammar, NotFoundError if there is no such version,
        IntegrityError if what is stored is damaged.
        """
        return self.load(self.find(text))

    def find(self, text: str) -> Ref:
        """Return the version that a reference means, nothing of it read; raises as resolve."""
        wanted = parse_reference(text)
        if wanted.number is not None:
            return self._refs.live(wanted.name, wanted.number)
        return self._find(wanted)

    def locate(self, text: str) -> tuple[str, int]:
        """Return name and number without reading more of the version; raises as resolve."""
        wanted = parse_reference(text)
        if wanted.number is None:
            ref = self._find(wanted)
            return ref.name, ref.number
        if wanted.number not in self._refs.numbers(wanted.name):
            self._refs.live(wanted.name, wanted.number)
        return wanted.name, wanted.number

    def load(self, ref: Ref) -> Version:
        """Return the version behind a reference that was read; IntegrityError if damaged."""
        manifest = self.manifest(ref.digest, f"{ref.name}@{ref.number}")
        if manifest.name != ref.name:
            raise IntegrityError(
                f"{ref.name}@{ref.number}: the manifest is one of {manifest.name!r}",
                hint=codec.FSCK_HINT,
            )
        aliases = self._refs.aliases(ref.name)
        mine = tuple(alias for alias, number in aliases.items() if number == ref.number)
        return Version(ref.name, ref.number, ref.digest, manifest, mine)

    def manifest(self, digest: str, where: str) -> Manifest:
        """Return the manifest with that digest; IntegrityError if it is missing or damaged."""
        try:
            data = read_small(self._io, self._layout.manifest(digest), codec.MAX_BYTES)
        except FileNotFoundError:
            raise IntegrityError(
                f"{where}: the manifest {digest} is missing", hint=codec.FSCK_HINT
            ) from None
        return codec.decode(data, digest, where)

    def _find(self, wanted: Reference) -> Ref:
        if wanted.alias is not None:
            return self._refs.read_alias(wanted.name, wanted.alias)
        if wanted.digest is not None:
            return self._find_digest(wanted.name, wanted.digest)
        return self._refs.newest(wanted.name)

    def _find_digest(self, name: str, digest: str) -> Ref:
        for number in reversed(self._refs.numbers(name)):
            ref = self._refs.read(name, number)
            if ref.digest == digest and not ref.removed:
                return ref
        raise NotFoundError(f"no version of {name!r} has the digest {digest}")
