"""Exchange as functions of the package: with the user's own registry and all plugins, unless told.

Each does what its command does; the functions behind them say what they raise.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.remotes.pull import Pulled, pull_version
from adapterhub_lite.remotes.push import Pushed, push_version
from adapterhub_lite.remotes.sync import Direction, Synced, sync_remote
from adapterhub_lite.remotes.transfer import Progress

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry


def push(
    ref: str,
    remote: str,
    *,
    alias: str | None = None,
    next_number: bool = False,
    with_parents: bool = False,
    unsigned: bool = False,
    registry: "Registry | None" = None,
    catalogue: Catalogue | None = None,
    progress: Progress | None = None,
) -> Pushed:
    """Copy the version ``ref`` to the address ``remote``; see :func:`push_version`."""
    return push_version(
        ref,
        remote,
        registry or _own_registry(),
        catalogue or get_catalogue(),
        alias=alias,
        next_number=next_number,
        with_parents=with_parents,
        unsigned=unsigned,
        progress=progress,
    )


def pull(
    remote: str,
    ref: str | None = None,
    *,
    name: str | None = None,
    alias: str | None = None,
    with_parents: bool = False,
    registry: "Registry | None" = None,
    catalogue: Catalogue | None = None,
    progress: Progress | None = None,
) -> Pulled:
    """Publish here the version ``ref`` of the address ``remote``; see :func:`pull_version`."""
    return pull_version(
        remote,
        registry or _own_registry(),
        catalogue or get_catalogue(),
        ref=ref,
        name=name,
        alias=alias,
        with_parents=with_parents,
        progress=progress,
    )


def sync(
    remote: str,
    *,
    names: Collection[str] = (),
    direction: Direction = "both",
    dry_run: bool = False,
    registry: "Registry | None" = None,
    catalogue: Catalogue | None = None,
    progress: Progress | None = None,
) -> Synced:
    """Mirror all versions, here and at the address ``remote``; see :func:`sync_remote`."""
    return sync_remote(
        remote,
        registry or _own_registry(),
        catalogue or get_catalogue(),
        names=names,
        direction=direction,
        dry_run=dry_run,
        progress=progress,
    )


def _own_registry() -> "Registry":
    from adapterhub_lite_registry import Registry

    return Registry.open(None)
