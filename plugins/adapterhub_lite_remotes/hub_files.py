"""What a version is in a repository of the hub: its files as they are, ours, and a card.

Nothing of a version is changed or left away. If it has a ``README.md``, that is the repository's
card; only where it has none one is made, which is no part of the version.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Final

from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

from adapterhub_lite.errors import NotFoundError, RemoteError
from adapterhub_lite.reports import version_card
from adapterhub_lite_registry import FileEntry, Manifest
from adapterhub_lite_registry.refs import Ref
from adapterhub_lite_remotes.hub_repository import Operation, Place, Repository

OWN: Final = ".adapterhub-lite"
MANIFEST: Final = f"{OWN}/manifest.json"
REFERENCE: Final = f"{OWN}/version"
CARD: Final = "README.md"
GIT: Final = frozenset({".gitattributes", ".gitignore", ".gitmodules"})
"""Git's own files: a version's would say which files of the repository are stored, and where."""


def paths_of(manifest: Manifest) -> list[str]:
    """Return all that lies in a repository for a version."""
    own = [entry.path for entry in manifest.files]
    return list(dict.fromkeys([*own, MANIFEST, REFERENCE, CARD]))


def additions(
    manifest: Manifest,
    data: bytes,
    ref: Ref,
    staged: Mapping[str, CommitOperationAdd],
    find: Callable[[str], Place | None],
) -> list[Operation]:
    """Return the operations that put a version into a commit.

    ``data`` is the manifest as it is stored; ``find`` tells where a content lies that was not
    staged. Raises NotFoundError for one that lies nowhere.
    """
    operations = [_addition(entry, staged, find) for entry in manifest.files]
    made = {MANIFEST: data, REFERENCE: ref.line()}
    if manifest.file(CARD) is None:
        made[CARD] = version_card(manifest, ref.number).encode()
    operations += [CommitOperationAdd(path, content) for path, content in made.items()]
    return operations


def _addition(
    entry: FileEntry,
    staged: Mapping[str, CommitOperationAdd],
    find: Callable[[str], Place | None],
) -> Operation:
    if (ready := staged.get(entry.sha256)) is not None:
        addition = copy(ready)  # the same content may lie at several paths
        addition.path_in_repo = entry.path
        return addition
    place = find(entry.sha256)
    if place is None:
        raise NotFoundError(f"the file {entry.sha256} was not sent")
    return CommitOperationCopy(place.path, entry.path, src_revision=place.commit)


def copies(manifest: Manifest, commit: str) -> list[Operation]:
    """Return the operations that put a version of another commit into one."""
    return [CommitOperationCopy(path, path, src_revision=commit) for path in paths_of(manifest)]


def deletions(
    repository: Repository, head: str, shown: Manifest | None, wanted: Sequence[Operation]
) -> list[Operation]:
    """Return the operations that take the files of the version at ``head`` away.

    What other people have put there stays.
    """
    new = {operation.path_in_repo for operation in wanted}
    stale = [path for path in paths_of(shown) if path not in new] if shown is not None else []
    there = repository.files(head, stale)
    return [CommitOperationDelete(entry.path, is_folder=False) for entry in there]


def require_free_paths(manifest: Manifest, address: str) -> None:
    """Refuse a version that has a file where the repository needs one of its own."""
    for entry in manifest.files:
        if entry.path.partition("/")[0] == OWN or entry.path.rpartition("/")[2] in GIT:
            raise RemoteError(
                f"{address} cannot hold {entry.path}, which would steer the repository itself",
                remote=address,
                hint="push to a place of another kind, such as bundle:FILE",
            )


def compare(repository: Repository, commit: str, files: Iterable[FileEntry]) -> None:
    """Look whether a commit has all files of a version; raises RemoteError."""
    entries = list(files)
    there = {one.path: one for one in repository.files(commit, [one.path for one in entries])}
    for entry in entries:
        found = there.get(entry.path)
        if found is None or found.size != entry.size:
            what = "is not there" if found is None else f"has {found.size:,} bytes there"
        elif found.lfs is not None and found.lfs.sha256 != entry.sha256:
            what = "is another there"
        else:
            continue
        raise RemoteError(
            f"{repository.address} took the files, but {entry.path} {what}; no version was made",
            remote=repository.address,
            hint="look at the repository's .gitignore and .gitattributes",
        )
