"""Versions at a remote: which is meant, and its manifest, believed once it was checked."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from adapterhub_lite.errors import IntegrityError, NotFoundError, UserError, nearest_name
from adapterhub_lite.remotes.contract import Remote

if TYPE_CHECKING:
    from adapterhub_lite_registry import Manifest
    from adapterhub_lite_registry.names import Reference

LARGEST: Final = 99_999_999
"""No version has a larger number; a remote that says so would spoil the numbers here."""
DAMAGED_HINT: Final = "what the remote holds is damaged or was changed; ask who pushed it"
LISTED: Final = 8
"""How many names of a remote a hint lists."""


@dataclass(frozen=True, slots=True)
class Found:
    """A version at a remote."""

    name: str
    number: int
    digest: str

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"


def find_version(remote: Remote, ref: str | None, address: str) -> Found:
    """Return the version that is meant; raises NotFoundError, naming what there is."""
    from adapterhub_lite_registry.names import parse_reference

    wanted = parse_reference(ref if ref is not None else _only_name(remote, address))
    numbers = sorted(numbers_at(remote, wanted.name), reverse=True)
    if not numbers:
        known = names_at(remote)
        near = nearest_name(wanted.name, known)
        hint = f"did you mean {near!r}? " if near else ""
        raise NotFoundError(
            f"{address} has no {wanted.name!r}", hint=f"{hint}it has: {_listed(known)}"
        )
    for number, digest in _candidates(remote, wanted, numbers):
        if wanted.digest in (None, digest):
            return Found(wanted.name, number, digest)
    raise NotFoundError(f"{address} has no {ref}", hint=f"the newest is number {numbers[0]}")


def _candidates(
    remote: Remote, wanted: "Reference", numbers: Sequence[int]
) -> Iterator[tuple[int, str]]:
    """Yield the versions that may be meant, newest first; raises IntegrityError."""
    if wanted.alias is not None:
        pointed = remote.read_alias(wanted.name, wanted.alias)
        numbers = [number for number in numbers if number == pointed]
    elif wanted.number is not None:
        numbers = [number for number in numbers if number == wanted.number]
    for number in numbers:
        digest = resolve_at(remote, wanted.name, number)
        if digest is not None:  # else it was removed
            yield number, digest


def _only_name(remote: Remote, address: str) -> str:
    names = names_at(remote)
    if len(names) != 1:
        what = f"{len(names)} names" if names else "no versions"
        raise UserError(
            f"{address} has {what}: say which version to pull",
            hint=f"it has: {_listed(names)}; as in: ahl pull NAME@7 {address}",
        )
    return names[0]


def names_at(remote: Remote) -> list[str]:
    """Return the names at a remote that are names; others cannot be asked for."""
    from adapterhub_lite_registry.names import NAME_RULE

    return sorted(name for name in remote.names() if re.fullmatch(NAME_RULE, name))


def numbers_at(remote: Remote, name: str) -> list[int]:
    """Return the numbers of a name at a remote that a version may have."""
    return [number for number in remote.numbers(name) if 0 < number <= LARGEST]


def resolve_at(remote: Remote, name: str, number: int) -> str | None:
    """Return the digest of a version at a remote, if it is there; raises IntegrityError."""
    from adapterhub_lite_registry.names import is_digest

    digest = remote.resolve(name, number)
    if digest is not None and not is_digest(digest):
        raise IntegrityError(f"the remote gives {name}@{number} no digest: {digest!r}")
    return digest


def _listed(names: Sequence[str]) -> str:
    more = ", …" if len(names) > LISTED else ""
    return (", ".join(names[:LISTED]) or "nothing") + more


def read_manifest_of(remote: Remote, found: Found, where: str) -> "tuple[bytes, Manifest]":
    """Return a version's manifest, checked; raises IntegrityError, NotFoundError."""
    data, manifest = read_manifest(remote, found.digest, where)
    if manifest.name != found.name:
        raise IntegrityError(f"{where}: the manifest is one of {manifest.name!r}")
    return data, manifest


def read_manifest(remote: Remote, digest: str, where: str) -> "tuple[bytes, Manifest]":
    """Return the manifest with that digest, checked; raises IntegrityError, NotFoundError."""
    from adapterhub_lite_registry import MAX_MANIFEST, InvalidManifestError, at_most, parse_manifest

    data = b"".join(at_most(MAX_MANIFEST, remote.read_manifest(digest)))
    try:
        manifest = parse_manifest(data, digest, where)
    except InvalidManifestError as error:
        raise IntegrityError(f"{where}: {error.message}", hint=error.hint) from error
    except IntegrityError as error:
        raise IntegrityError(error.message, hint=DAMAGED_HINT) from error
    return data, manifest
