"""What a version was made from, oldest first: a lineage can go along with its last version."""

from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Final

from adapterhub_lite.errors import IntegrityError, NotFoundError
from adapterhub_lite.remotes.contract import Remote
from adapterhub_lite.remotes.finding import Found, numbers_at, read_manifest, resolve_at

if TYPE_CHECKING:
    from collections.abc import Iterable

    from adapterhub_lite_registry import LineageNode, Registry, Version

MOST: Final = 10_000
"""A lineage with more versions at a remote is not followed: it was made to keep us busy."""


def ancestors_here(version: "Version", registry: "Registry") -> "tuple[list[Version], list[str]]":
    """Return the versions here that one was made from, and the digests of those not here."""
    found: dict[str, str | None] = {}

    def visit(nodes: "Iterable[LineageNode]") -> None:
        for node in nodes:
            visit(node.nodes)
            found.setdefault(node.digest, node.ref)

    visit(registry.lineage(f"{version.name}@{version.digest}").parents)
    present = [registry.resolve(ref) for ref in found.values() if ref is not None]
    return present, [digest for digest, ref in found.items() if ref is None]


def ancestors_there(remote: Remote, found: Found, address: str) -> tuple[list[Found], list[str]]:
    """Return the versions there that one was made from, and the digests of those not there.

    Raises IntegrityError for a manifest that is damaged or malicious.
    """
    above: dict[str, list[str]] = {}
    places: dict[str, Found | None] = {}
    waiting = [found.digest]
    while waiting:
        digest = waiting.pop()
        if digest in above:
            continue
        if len(above) > MOST:
            raise IntegrityError(f"{found} of {address} has more than {MOST:,} ancestors")
        place, above[digest] = _look_up(remote, digest, address)
        places[digest] = place
        waiting.extend(above[digest])
    order = [digest for digest in TopologicalSorter(above).static_order() if digest != found.digest]
    present = [place for digest in order if (place := places[digest]) is not None]
    return present, [digest for digest in order if places[digest] is None]


def _look_up(remote: Remote, digest: str, address: str) -> tuple[Found | None, list[str]]:
    """Return which version a digest is there, if it is one, and its parents' digests."""
    from adapterhub_lite_registry import check_name

    try:
        _, manifest = read_manifest(remote, digest, f"{digest} of {address}")
    except NotFoundError:
        return None, []
    name = check_name(manifest.name)
    above = [parent.digest for parent in manifest.parents]
    for number in sorted(numbers_at(remote, name)):
        if resolve_at(remote, name, number) == digest:
            return Found(name, number, digest), above
    return None, above
