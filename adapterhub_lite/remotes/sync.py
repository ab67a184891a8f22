"""Make a registry and a remote hold the same versions, under the same numbers.

Each version's reference comes after its files, so that what was interrupted is repeated and goes
on. Nothing is replaced, removed or given another number: what differs is told.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import NotFoundError, nearest_name
from adapterhub_lite.remotes.contract import Remote
from adapterhub_lite.remotes.finding import Found, names_at, numbers_at, resolve_at
from adapterhub_lite.remotes.opening import opened
from adapterhub_lite.remotes.pull import pull_found
from adapterhub_lite.remotes.push import push_resolved
from adapterhub_lite.remotes.transfer import Progress

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry

Direction: TypeAlias = Literal["push", "pull", "both"]
Listing: TypeAlias = Mapping[str, Mapping[int, str | None]]
"""Name, number, digest; None where the version was removed."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What one side has and the other lacks, or what both have under the same number."""

    missing: tuple[Found, ...]
    removed: tuple[Found, ...]
    other: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class Synced:
    """What a mirroring did, or would do.

    ``removed`` were removed on the other side and stay so; ``conflicts`` are other versions there.
    ``files`` and ``bytes`` moved.
    """

    remote: str
    pulled: tuple[Found, ...]
    pushed: tuple[Found, ...]
    removed: tuple[Found, ...]
    conflicts: tuple[Found, ...]
    files: int
    bytes: int


def sync_remote(
    address: str,
    registry: "Registry",
    catalogue: Catalogue,
    *,
    names: Collection[str] = (),
    direction: Direction = "both",
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Synced:
    """Pull all versions that are missing here, and push all that are missing there.

    ``names`` are the only ones if there are any. Aliases stay as they are. With ``dry_run`` nothing
    is moved. Raises NotFoundError for a name that neither side has, and what pulling and pushing
    raise; what was moved until then is whole.
    """
    pulling, pushing = direction != "push", direction != "pull"
    with opened(address, catalogue, create=pushing and not dry_run) as remote:
        there, here = names_at(remote), registry.names()
        chosen = _choose(names, {*there, *here}, address)
        theirs = _listing_there(remote, chosen.intersection(there))
        ours = _listing_here(registry, chosen)
        pull, push = compare(theirs, ours), compare(ours, theirs)
        pulled, pushed = pull.missing * pulling, push.missing * pushing
        moved: list[tuple[int, int]] = []
        if not dry_run:
            for found in pulled:
                got = pull_found(remote, found, address, registry, progress=progress)
                moved.append((got.fetched, got.bytes))
            for found in pushed:
                sent = push_resolved(
                    remote, registry.resolve(str(found)), address, registry, progress=progress
                )
                moved.append((sent.sent, sent.bytes))
    return Synced(
        remote=address,
        pulled=pulled,
        pushed=pushed,
        removed=pull.removed * pulling + push.removed * pushing,
        conflicts=push.other if pushing else pull.other,
        files=sum(files for files, _ in moved),
        bytes=sum(size for _, size in moved),
    )


def compare(source: Listing, target: Listing) -> Difference:
    """Say what of ``source`` is missing at ``target``, by name and number in their order."""
    missing, removed, other = [], [], []
    for name in sorted(source):
        there = target.get(name, {})
        for number, digest in sorted(source[name].items()):
            if digest is None or digest in there.values():
                continue
            found = Found(name, number, digest)
            if number not in there:
                missing.append(found)
            elif there[number] is None:
                removed.append(found)
            else:
                other.append(found)
    return Difference(tuple(missing), tuple(removed), tuple(other))


def _choose(names: Collection[str], known: set[str], address: str) -> set[str]:
    for name in names:
        if name not in known:
            near = nearest_name(name, known)
            raise NotFoundError(
                f"neither {address} nor this registry has {name!r}",
                hint=f"did you mean {near!r}?" if near else "",
            )
    return set(names) or known


def _listing_there(remote: Remote, names: Collection[str]) -> Listing:
    return {
        name: {number: resolve_at(remote, name, number) for number in numbers_at(remote, name)}
        for name in names
    }


def _listing_here(registry: "Registry", names: Collection[str]) -> Listing:
    """Return what is here, also of names of which all versions were removed."""
    return {
        name: {
            number: _digest(registry, name, number) for number in registry.exchange.numbers(name)
        }
        for name in names
    }


def _digest(registry: "Registry", name: str, number: int) -> str | None:
    try:
        return registry.resolve(f"{name}@{number}").digest
    except NotFoundError:
        return None
