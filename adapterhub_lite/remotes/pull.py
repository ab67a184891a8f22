"""Pull a version: nothing that comes is believed before it was checked.

The manifest is short, in our own form and what its digest says; it names plain paths and no file
that may hold a pickle. Where this registry asks for a signature, that is looked at next. Files are
hashed while they are written; of a safetensors file the header is judged before the rest is asked
for, and each number has to be finite. What is here already is not transferred, so an interrupted
pull is repeated and goes on. The version is published last, with the digest it had.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.weights import with_checked_header
from adapterhub_lite.remotes.ancestors import ancestors_there
from adapterhub_lite.remotes.contract import Remote
from adapterhub_lite.remotes.finding import Found, find_version, read_manifest_of
from adapterhub_lite.remotes.opening import opened
from adapterhub_lite.remotes.signed import fetch_signatures
from adapterhub_lite.remotes.transfer import Progress, Tally, checked, counted, distinct
from adapterhub_lite.streaming.finite import with_finite_numbers

if TYPE_CHECKING:
    from adapterhub_lite_registry import Manifest, Registry, Version


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull did: the version here, which it was there, and what had to be fetched for it.

    ``signatures`` came along. ``parents`` are those that were pulled first, ``absent`` the digests
    of those that the remote has not.
    """

    version: "Version"
    remote: str
    source: str
    files: int
    fetched: int
    bytes: int
    new: bool
    signatures: int = 0
    parents: "tuple[Pulled, ...]" = ()
    absent: tuple[str, ...] = ()


def pull_version(
    address: str,
    registry: "Registry",
    catalogue: Catalogue,
    *,
    ref: str | None = None,
    name: str | None = None,
    alias: str | None = None,
    with_parents: bool = False,
    progress: Progress | None = None,
) -> Pulled:
    """Publish here the version ``ref`` of the remote, or the newest of its only name.

    It keeps its digest, and its number unless that is taken here. With another ``name`` it becomes
    a version of that name whose parent is the original. ``with_parents`` pulls all that it was made
    from before it, as far as the remote has it. ``alias`` points at it in the end. Raises
    NotFoundError when the remote has no such version, IntegrityError and BaseModelError for what
    is damaged or malicious, SignatureError where this registry asks for a signature,
    InvalidNameError, StorageError and RemoteError; then it is not published.
    """
    from adapterhub_lite_registry import check_alias, check_name

    if alias is not None:
        check_alias(alias)
    if name is not None:
        check_name(name)
    with opened(address, catalogue, create=False) as remote:
        found = find_version(remote, ref, address)
        chain, absent = ancestors_there(remote, found, address) if with_parents else ([], [])
        parents = [pull_found(remote, one, address, registry, progress=progress) for one in chain]
        done = pull_found(remote, found, address, registry, name=name, progress=progress)
    if alias is not None:
        registry.set_alias(done.version.name, alias, done.version.number)
    return replace(done, parents=tuple(parents), absent=tuple(absent))


def pull_found(
    remote: Remote,
    found: Found,
    address: str,
    registry: "Registry",
    *,
    name: str | None = None,
    progress: Progress | None = None,
) -> Pulled:
    """Publish here one version of an open remote; raises as :func:`pull_version`."""
    from adapterhub_lite_registry.exchange import renamed

    where = f"{found} of {address}"
    data, manifest = read_manifest_of(remote, found, where)
    signatures = fetch_signatures(remote, manifest, found.digest, where)
    registry.signatures.require(manifest, found.digest, where, signatures)
    if name not in (None, manifest.name):
        registry.signatures.refuse_unsigned(f"{where} under another name")
        data, signatures = renamed(manifest, found.digest, name or ""), []
    fetched, size = _fetch_files(remote, manifest, registry, where, progress)
    for signature in signatures:
        registry.signatures.add(manifest, found.digest, signature)
    version, new = _publish(data, name or manifest.name, found.number, registry)
    return Pulled(
        version=version,
        remote=address,
        source=str(found),
        files=len(manifest.files),
        fetched=fetched,
        bytes=size,
        new=new,
        signatures=len(signatures),
    )


def _fetch_files(
    remote: Remote,
    manifest: "Manifest",
    registry: "Registry",
    where: str,
    progress: Progress | None,
) -> tuple[int, int]:
    """Fetch the files that are not here; return how many, and their bytes."""
    exchange = registry.exchange
    contents = distinct(manifest)
    missing = [entry for entry in contents if not exchange.has(entry.sha256, entry.size)]
    registry.check_space(sum(entry.size for entry in missing))
    tensors = {e.sha256: e.path for e in manifest.files if e.path.lower().endswith(".safetensors")}
    for entry in contents:
        if entry not in missing and (path := tensors.get(entry.sha256)):
            # these bytes came as a file of another kind, perhaps
            for _ in _checked_weights(exchange.read(entry.sha256), entry.size, path, where):
                pass
    tally = Tally(sum(entry.size for entry in missing), progress)
    for entry in missing:
        chunks: Iterable[bytes] = checked(remote.read(entry.sha256), entry, where)
        if path := tensors.get(entry.sha256):
            chunks = _checked_weights(chunks, entry.size, path, where)
        exchange.write(entry.sha256, entry.size, counted(chunks, tally))
    return len(missing), tally.done


def _checked_weights(chunks: Iterable[bytes], size: int, path: str, where: str) -> Iterator[bytes]:
    return with_finite_numbers(with_checked_header(chunks, size, path, where), path, where)


def _publish(data: bytes, name: str, number: int, registry: "Registry") -> "tuple[Version, bool]":
    """Make the manifest a version here, unless it is one; by its own number if that is free."""
    import hashlib

    exchange = registry.exchange
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if (present := exchange.find(name, digest)) is not None:
        return present, False
    while not exchange.adopt(data, number):
        number = max(exchange.numbers(name)) + 1
    return registry.resolve(f"{name}@{number}"), True
