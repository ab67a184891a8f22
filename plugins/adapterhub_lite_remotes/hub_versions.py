"""The versions that a repository of the hub holds: which, in which commits, and their files."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from adapterhub_lite.errors import AdapterHubError, NotFoundError
from adapterhub_lite_registry import MAX_MANIFEST, Manifest, at_most, parse_manifest
from adapterhub_lite_registry.refs import Ref, parse_ref
from adapterhub_lite_remotes import hub_files, layout
from adapterhub_lite_remotes.hub_repository import Place, Repository

TAG: Final = re.compile(r"v([1-9][0-9]{0,7})")


@dataclass(frozen=True, slots=True)
class Found:
    """A version, and the commit that it was found in."""

    ref: Ref
    commit: str


class Versions:
    """Looks at tags and branches; what it has seen of a commit it does not ask for again."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._seen: dict[str, Found] = {}
        self._manifests: dict[str, bytes] = {}
        self._commits: dict[str, str] = {}
        """Digest → the commit of that version's tag."""
        self._places: dict[str, Place] = {}
        self._indexed: set[str] = set()

    def numbers(self) -> list[int]:
        """Return the numbers that are tags."""
        tags = map(TAG.fullmatch, self._repository.references().tags)
        return [int(tag[1]) for tag in tags if tag is not None]

    def look(self, revision: str) -> Found | None:
        """Return the version at a tag or a commit; None where there is none of ours.

        Neither moves, so what was found is not asked for again.
        """
        if (seen := self._seen.get(revision)) is not None:
            return seen
        answer = self._repository.read_small(revision, hub_files.REFERENCE, layout.LONGEST_REF)
        if answer is None:
            return None
        data, commit = answer
        found = Found(parse_ref(data, f"{self._repository.address}: {revision}"), commit)
        self._seen[revision] = found
        if TAG.fullmatch(revision):  # what a branch's commit shows may have been edited by hand
            self._commits.setdefault(found.ref.digest, commit)
        return found

    def all(self) -> Iterator[Found]:
        """Yield all versions, newest first."""
        for number in sorted(self.numbers(), reverse=True):
            if (found := self.look(f"v{number}")) is not None:
                yield found

    def keep(self, digest: str, data: bytes) -> None:
        """Take in the manifest of a version that is about to be published."""
        self._manifests[digest] = data

    def read_manifest(self, digest: str) -> Iterable[bytes]:
        """Return a manifest's bytes as they come; raises NotFoundError."""
        commit = self._commits.get(digest)
        if commit is None:
            matching = (found.commit for found in self.all() if found.ref.digest == digest)
            commit = next(matching, None)
        if commit is None:
            raise NotFoundError(f"{self._repository.address} has no manifest {digest}")
        return self._repository.read(commit, hub_files.MANIFEST)

    def manifest(self, digest: str) -> tuple[bytes, Manifest]:
        """Return a manifest, checked; raises as parse_manifest does, and NotFoundError."""
        data = self._manifests.get(digest)
        if data is None:
            data = b"".join(at_most(MAX_MANIFEST, self.read_manifest(digest)))
        manifest = parse_manifest(data, digest, f"{self._repository.address}: {digest}")
        self._manifests[digest] = data
        return data, manifest

    def find(self, sha256: str, most: int | None = None) -> Place | None:
        """Look for a content, in the versions that were asked for and in the newest ``most``."""
        for digest, commit in list(self._commits.items()):
            self._index(digest, commit)
        if sha256 not in self._places:
            for found in islice(self.all(), most):
                self._index(found.ref.digest, found.commit)
                if sha256 in self._places:
                    break
        return self._places.get(sha256)

    def _index(self, digest: str, commit: str) -> None:
        """Note where the files of a version lie."""
        if digest in self._indexed:
            return
        self._indexed.add(digest)
        try:
            _, manifest = self.manifest(digest)
        except AdapterHubError:
            return  # a damaged version hides its own files, and stops no other
        for entry in manifest.files:
            self._places.setdefault(entry.sha256, Place(commit, entry.path))
