"""Signatures on their way: they go along with their version, wherever a remote keeps them."""

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from adapterhub_lite.errors import IntegrityError, RemoteError, SignatureError
from adapterhub_lite.remotes.contract import KeepsSignatures, Remote

if TYPE_CHECKING:
    from adapterhub_lite_registry import Manifest, Registry, Version


def signatures_to_send(
    remote: Remote, version: "Version", registry: "Registry", address: str
) -> list[bytes]:
    """Return a version's signatures; IntegrityError for a damaged one, RemoteError for no place."""
    signatures, problems = registry.signatures.of(version.digest)
    if problems:
        raise IntegrityError(f"{version}: {problems[0]}")
    if signatures and not isinstance(remote, KeepsSignatures):
        raise RemoteError(
            f"{version} is signed, and {address} keeps no signatures",
            remote=address,
            hint="to leave them here: ahl push --unsigned",
        )
    return signatures


def send_signatures(remote: Remote, digest: str, signatures: Sequence[bytes]) -> None:
    """Write signatures to a remote that keeps them."""
    if isinstance(remote, KeepsSignatures):
        for data in signatures:
            remote.write_signature(digest, data)


def fetch_signatures(remote: Remote, manifest: "Manifest", digest: str, where: str) -> list[bytes]:
    """Return the signatures of a manifest at a remote, each seen to be of that version.

    By whom they are is not looked at. Raises IntegrityError for one that is damaged or another's,
    and for more than are kept.
    """
    from adapterhub_lite_registry import MAX_SIGNATURE, MOST_SIGNATURES, at_most
    from adapterhub_lite_registry.signing import Subject, parse_signature

    if not isinstance(remote, KeepsSignatures):
        return []
    found: list[bytes] = []
    for chunks in islice(remote.read_signatures(digest), MOST_SIGNATURES + 1):
        data = b"".join(at_most(MAX_SIGNATURE, chunks))
        if len(data) > MAX_SIGNATURE or len(found) == MOST_SIGNATURES:
            raise IntegrityError(f"{where} has too many signatures, or one that is too large")
        try:
            parse_signature(Subject.of(manifest, digest), data)
        except SignatureError as error:
            raise IntegrityError(f"of the signatures of {where} {error.message}") from error
        found.append(data)
    return found
