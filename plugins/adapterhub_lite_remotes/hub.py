"""A model repository of the Hugging Face hub: a version is a tag, an alias is a branch.

One repository holds the versions of one name. A version's files lie at the root, as they are, with
our manifest and reference beside them below ``.adapterhub-lite``. They are committed to a branch of
their own first and compared; then the tag is created, which fails where there is one. The branch
``main`` shows the newest version, an alias's branch the one that it points to: both move by a
commit that names the one before it.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Final

from huggingface_hub import CommitOperationAdd, constants

from adapterhub_lite.errors import IntegrityError, NotFoundError, RemoteError
from adapterhub_lite_registry import InvalidManifestError
from adapterhub_lite_registry.refs import Ref
from adapterhub_lite_remotes import hub_files, layout
from adapterhub_lite_remotes.hub_repository import MAIN, OFFLINE, Operation, Repository
from adapterhub_lite_remotes.hub_versions import Found, Versions

REPOSITORY: Final = re.compile(r"hub:(?://)?([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)", re.ASCII)
SIDE: Final = "adapterhub-lite-"
RESERVED: Final = re.compile(rf"{MAIN}|v[0-9]+|{SIDE}.*")
"""Branches that are no alias's, and tags that are a version's."""
EMPTY: Final = hub_files.GIT | {hub_files.CARD, hub_files.OWN, "LICENSE"}
"""What a repository may hold that was made on the hub's page, to be pushed to."""
RECENT: Final = 10
"""In so many versions is looked for a file before it is sent; large ones the hub knows anyway."""
ATTEMPTS: Final = 5


def open_hub(address: str, *, create: bool) -> "HubRemote":
    """Open a repository, and make a private one where there is none and ``create`` is given."""
    found = REPOSITORY.fullmatch(address)
    if found is None:
        raise RemoteError(
            f"{address} names no repository of the hub",
            remote=address,
            hint="write hub:OWNER/NAME, as in hub:me/tickets; a version stands before it: "
            "ahl pull tickets@prod hub:me/tickets",
        )
    if constants.HF_HUB_OFFLINE:
        raise RemoteError(f"{address} {OFFLINE[0]}", remote=address, hint=OFFLINE[1])
    remote = HubRemote(Repository(address, found[1]), writing=create)
    try:
        remote.prepare()
    except BaseException:
        remote.close()
        raise
    return remote


class HubRemote:
    """The versions of a repository."""

    def __init__(self, repository: Repository, *, writing: bool) -> None:
        self._repository = repository
        self._versions = Versions(repository)
        self._address = repository.address
        self._writing = writing
        self._spool = TemporaryDirectory(prefix="adapterhub-")
        self._staged: dict[str, CommitOperationAdd] = {}

    def prepare(self) -> None:
        """Look whether the repository is there; for writing, finish what was interrupted."""
        if not self._writing:
            self._repository.references()
            return
        self._repository.create_missing()
        if self.names():
            self._show_newest()
            return
        others = sorted(set(self._repository.entries(MAIN)) - EMPTY)
        if others:
            raise RemoteError(
                f"{self._address} holds what was not pushed by 'ahl push': {others[0]}",
                remote=self._address,
                hint="push to a repository of its own; it is made if it is not there",
            )

    def has(self, sha256: str, size: int) -> bool:
        """Say whether a recent version has the file."""
        return self._versions.find(sha256, RECENT) is not None

    def read(self, sha256: str) -> Iterable[bytes]:
        """Yield a file's bytes."""
        place = self._versions.find(sha256)
        if place is None:
            raise NotFoundError(f"no version of {self._address} has the file {sha256}")
        return self._repository.read(place.commit, place.path)

    def write(self, sha256: str, size: int, chunks: Iterable[bytes]) -> None:
        """Make a file ready: a large one is uploaded, others go with the version's commit."""
        file = Path(self._spool.name) / sha256
        with file.open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
        self._staged[sha256] = self._repository.stage(file, sha256, size)

    def read_manifest(self, digest: str) -> Iterable[bytes]:
        """Yield a manifest's bytes."""
        return self._versions.read_manifest(digest)

    def write_manifest(self, digest: str, data: bytes) -> None:
        """Keep a manifest until its version is published: both are one commit."""
        self._versions.keep(digest, data)

    def read_signatures(self, digest: str) -> Iterable[Iterable[bytes]]:
        """Yield a manifest's signatures, which lie on ``main``."""
        folder = f"{hub_files.OWN}/{layout.signatures(digest)}"
        for path in self._repository.entries(MAIN, folder):
            yield self._repository.read(MAIN, path)

    def write_signature(self, digest: str, data: bytes) -> None:
        """Commit a signature to ``main``, where it stays as versions come and go."""
        path = f"{hub_files.OWN}/{layout.signature(digest, data)}"
        for _ in range(ATTEMPTS):
            head = self._head(MAIN)
            if self._repository.files(head, [path]):
                return
            addition = CommitOperationAdd(path, data)
            if self._repository.commit(MAIN, head, [addition], f"Sign {digest}"):
                return
        raise self._moved(MAIN)

    def names(self) -> Sequence[str]:
        """Return the name of the newest version; all have the same."""
        return [found.ref.name for found in islice(self._versions.all(), 1)]

    def numbers(self, name: str) -> Sequence[int]:
        """Return the numbers that are tags; of another name than the repository's there are none.

        Raises RemoteError when versions of that name are to be pushed.
        """
        others = [other for other in self.names() if other != name]
        if not others:
            return self._versions.numbers()
        if self._writing:
            raise RemoteError(
                f"{self._address} holds versions of {others[0]!r}, and one name alone",
                remote=self._address,
                hint=f"push to another repository, such as {self._address}-{name}",
            )
        return []

    def resolve(self, name: str, number: int) -> str | None:
        """Return the digest in a tag's reference."""
        found = self._versions.look(f"v{number}")
        if found is None or found.ref.name != name:
            return None
        if found.ref.number != number:
            raise IntegrityError(f"{self._address}: the tag v{number} is that of {found.ref}")
        return found.ref.digest

    def publish(self, name: str, number: int, digest: str) -> bool:
        """Commit a version beside ``main``, compare it, and tag it unless there is such a tag."""
        if number in self._versions.numbers():
            return False
        data, manifest = self._versions.manifest(digest)
        hub_files.require_free_paths(manifest, self._address)
        ref = Ref(name, number, digest)
        wanted = hub_files.additions(manifest, data, ref, self._staged, self._versions.find)
        side, head = f"{SIDE}{token_hex(6)}", self._head(MAIN)
        self._repository.create_branch(side, head)
        try:
            commit = self._replace(side, head, wanted, str(ref))
            if commit is None:
                raise self._moved(side)
            hub_files.compare(self._repository, commit, manifest.files)
            done = self._repository.create_tag(f"v{number}", commit)
        finally:
            self._repository.delete_branch(side)
        if done:
            self._show_newest()
        return done

    def read_alias(self, name: str, alias: str) -> int | None:
        """Return the number of the version that a branch shows."""
        head = self._repository.references().branches.get(alias)
        found = self._versions.look(head) if head is not None else None
        return found.ref.number if found is not None and found.ref.name == name else None

    def write_alias(self, name: str, alias: str, number: int, expected: int | None) -> bool:
        """Let a branch show a version, unless the branch has moved since it was looked at."""
        if RESERVED.fullmatch(alias):
            raise RemoteError(
                f"{alias!r} can be no alias in {self._address}: it is a name of its own there",
                remote=self._address,
                hint="take another alias",
            )
        target = self._versions.look(f"v{number}")
        if target is None:
            raise NotFoundError(f"{self._address} has no {name}@{number}")
        head = self._repository.references().branches.get(alias)
        if head is None:
            return expected is None and self._repository.create_branch(alias, target.commit)
        found = self._versions.look(head)
        if found is None or found.ref.number != expected:
            return False
        return self._show(alias, head, target)

    def close(self) -> None:
        """Delete what was kept for a commit."""
        self._spool.cleanup()

    def _head(self, branch: str) -> str:
        found = self._repository.references().branches.get(branch)
        if found is None:
            raise IntegrityError(f"{self._address} has no branch {branch!r}")
        return found

    def _show_newest(self) -> None:
        """Let ``main`` show the newest version; what is edited there by hand stays until then."""
        for _ in range(ATTEMPTS):
            newest = next(self._versions.all(), None)
            head = self._head(MAIN)
            shown = self._versions.look(head)
            if newest is None or (shown is not None and shown.ref == newest.ref):
                return
            if self._show(MAIN, head, newest):
                return
        raise self._moved(MAIN)

    def _show(self, branch: str, head: str, target: Found) -> bool:
        """Let a branch show a version; False where it is no longer at ``head``."""
        _, manifest = self._versions.manifest(target.ref.digest)
        wanted = hub_files.copies(manifest, target.commit)
        return self._replace(branch, head, wanted, f"Show {target.ref}") is not None

    def _replace(
        self, branch: str, head: str, wanted: Sequence[Operation], message: str
    ) -> str | None:
        """Commit a version in the place of the one at ``head``; None if the branch has moved."""
        shown = self._versions.look(head)
        old = None
        if shown is not None:
            # of a damaged version, or one whose tag is gone, no file is taken away
            with suppress(IntegrityError, InvalidManifestError, NotFoundError):
                _, old = self._versions.manifest(shown.ref.digest)
        stale = hub_files.deletions(self._repository, head, old, wanted)
        return self._repository.commit(branch, head, [*wanted, *stale], message)

    def _moved(self, branch: str) -> RemoteError:
        return RemoteError(
            f"the branch {branch} of {self._address} is moved by somebody else all the time",
            remote=self._address,
            hint="push again: what is missing is done then",
        )
