"""From an address to the remote behind it: the plugin is chosen by the address's scheme."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import RemoteError, nearest_name
from adapterhub_lite.plugins import conflict
from adapterhub_lite.plugins.admitted import Offer
from adapterhub_lite.remotes.contract import Remote
from adapterhub_lite.specs import RemoteSpec


@contextmanager
def opened(address: str, catalogue: Catalogue, *, create: bool) -> Iterator[Remote]:
    """Open the remote at ``address``, and close it at the end.

    Raises RemoteError for an address that no plugin knows, PluginConflictError for one that two
    do, MissingDependencyError, and what opening raises.
    """
    spec = _spec(address, catalogue)
    remote: Remote = catalogue.implementation(spec)(address, create=create)
    try:
        yield remote
    finally:
        remote.close()


def _spec(address: str, catalogue: Catalogue) -> RemoteSpec:
    offers = _by_scheme(catalogue)
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", address)
    if found is None:
        raise RemoteError(
            f"{address!r} is no address of a remote: nothing says what kind of place it is",
            remote=address,
            hint=f"for a folder write file:{address}",
        )
    scheme = found[1].lower()
    if scheme not in offers:
        near = nearest_name(scheme, offers)
        raise RemoteError(
            f"no plugin knows the kind of place {scheme!r}",
            remote=address,
            hint=(f"did you mean {near!r}? " if near else "") + f"known: {', '.join(offers)}",
        )
    if len(offers[scheme]) > 1:
        sources = (offer.source for offer in offers[scheme])
        raise conflict("remote", scheme, ((one.distribution, one.version) for one in sources))
    spec = offers[scheme][0].spec
    assert isinstance(spec, RemoteSpec), "offers are checked when they are collected"
    return spec


def _by_scheme(catalogue: Catalogue) -> dict[str, list[Offer]]:
    table: dict[str, list[Offer]] = {}
    for offer in catalogue.usable("remote"):
        if isinstance(offer.spec, RemoteSpec):
            for scheme in offer.spec.schemes:
                table.setdefault(scheme, []).append(offer)
    return dict(sorted(table.items()))
