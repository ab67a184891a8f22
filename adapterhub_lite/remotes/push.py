"""Push a version: what the remote lacks of its files, manifest and signatures, last the reference.

Until the reference is there nobody sees anything, so an interrupted push is repeated and goes on
with the files that are still missing.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import RemoteError
from adapterhub_lite.remotes.ancestors import ancestors_here
from adapterhub_lite.remotes.contract import Remote
from adapterhub_lite.remotes.opening import opened
from adapterhub_lite.remotes.signed import send_signatures, signatures_to_send
from adapterhub_lite.remotes.transfer import Progress, Tally, checked, counted, distinct

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry, Version


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did: the version's number there, and what had to be sent for it.

    ``signatures`` went along. ``parents`` are those that were pushed first, ``absent`` the digests
    of those that are not here.
    """

    version: "Version"
    remote: str
    number: int
    files: int
    sent: int
    bytes: int
    new: bool
    signatures: int = 0
    parents: "tuple[Pushed, ...]" = ()
    absent: tuple[str, ...] = ()


def push_version(
    ref: str,
    address: str,
    registry: "Registry",
    catalogue: Catalogue,
    *,
    alias: str | None = None,
    next_number: bool = False,
    with_parents: bool = False,
    unsigned: bool = False,
    progress: Progress | None = None,
) -> Pushed:
    """Copy the version ``ref`` to the remote, under the same name, number and digest.

    With ``next_number`` it becomes the remote's next version if its number is another's there;
    ``with_parents`` pushes all that it was made from before it, as far as that is here. ``alias``
    points at it in the end; ``unsigned`` leaves its signatures here. Raises NotFoundError,
    IntegrityError when a file here is damaged, and RemoteError, also when the number is taken, for
    nothing there is ever replaced, and when the remote keeps no signatures.
    """
    from adapterhub_lite_registry import check_alias

    version = registry.resolve(ref)
    if alias is not None:
        check_alias(alias)
    chain, absent = ancestors_here(version, registry) if with_parents else ([], [])
    with opened(address, catalogue, create=True) as remote:
        done = [
            push_resolved(remote, one, address, registry, next_number, unsigned, progress)
            for one in (*chain, version)
        ]
        if alias is not None:
            _move_alias(remote, version.name, alias, done[-1].number, address)
    return replace(done[-1], parents=tuple(done[:-1]), absent=tuple(absent))


def push_resolved(
    remote: Remote,
    version: "Version",
    address: str,
    registry: "Registry",
    next_number: bool = False,
    unsigned: bool = False,
    progress: Progress | None = None,
) -> Pushed:
    """Copy one version to an open remote; raises as :func:`push_version`."""
    number = _choose_number(remote, version, address, next_number)
    signatures = [] if unsigned else signatures_to_send(remote, version, registry, address)
    sent, size = _send_files(remote, version, registry, progress)
    remote.write_manifest(version.digest, registry.exchange.read_manifest(version.digest))
    send_signatures(remote, version.digest, signatures)
    new = remote.resolve(version.name, number) is None
    if new:
        _publish(remote, version, number, address)
    files = len(version.manifest.files)
    return Pushed(version, address, number, files, sent, size, new, len(signatures))


def _choose_number(remote: Remote, version: "Version", address: str, next_number: bool) -> int:
    """Return the version's number there; raises RemoteError when it is another version's."""
    taken = set(remote.numbers(version.name))
    found = remote.resolve(version.name, version.number)
    if found == version.digest or version.number not in taken:
        return version.number
    if next_number:
        theirs = sorted(taken, reverse=True)
        same = (n for n in theirs if remote.resolve(version.name, n) == version.digest)
        return next(same, theirs[0] + 1)
    raise _taken(version, version.number, address)


def _send_files(
    remote: Remote, version: "Version", registry: "Registry", progress: Progress | None
) -> tuple[int, int]:
    """Send the files that are not there; return how many, and their bytes."""
    contents = distinct(version.manifest)
    missing = [entry for entry in contents if not remote.has(entry.sha256, entry.size)]
    tally = Tally(sum(entry.size for entry in missing), progress)
    for entry in missing:
        chunks = checked(registry.exchange.read(entry.sha256), entry, str(version))
        remote.write(entry.sha256, entry.size, counted(chunks, tally))
    return len(missing), tally.done


def _publish(remote: Remote, version: "Version", number: int, address: str) -> None:
    """Write the reference, and look whether it is ours that stands there now."""
    done = remote.publish(version.name, number, version.digest)
    if not done or remote.resolve(version.name, number) != version.digest:
        raise _taken(version, number, address)


def _taken(version: "Version", number: int, address: str) -> RemoteError:
    return RemoteError(
        f"{address} has another {version.name}@{number}, or had one: it is not replaced",
        remote=address,
        hint="push it as the next version there, with --next",
    )


def _move_alias(remote: Remote, name: str, alias: str, number: int, address: str) -> None:
    before = remote.read_alias(name, alias)
    if before == number:
        return
    if not remote.write_alias(name, alias, number, before):
        raise RemoteError(
            f"{name}@{number} is at {address}, but its alias {alias!r} was moved by somebody else",
            remote=address,
            hint="look where it points, and push again",
        )
