"""A repository of an OCI registry: a version's number is a tag, and so is an alias.

One repository holds the versions of one name. Registries have no operation that writes a tag only
where there is none: it is looked for first, and of two who push the same number in the same instant
the later one stands there, whole.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from adapterhub_lite.errors import IntegrityError, NotFoundError, RemoteError
from adapterhub_lite_registry import MAX_MANIFEST, parse_manifest
from adapterhub_lite_registry.refs import Ref
from adapterhub_lite_remotes import oci_pack
from adapterhub_lite_remotes.oci_address import Address, parse_address
from adapterhub_lite_remotes.oci_http import Answer, Client

PART: Final = 16 << 20
"""A file of more bytes is sent in parts."""
PAGES: Final = 1000
"""More pages of tags than any repository has."""
GONE: Final = (200, 404)
ACCEPT: Final = {"Accept": oci_pack.MANIFEST_TYPE}


def open_oci(address: str, *, create: bool) -> "OciRemote":
    """Open a repository; raises RemoteError when its registry cannot be reached or refuses."""
    found = parse_address(address)
    if create and found.tag is not None:
        raise RemoteError(
            f"{address} names a tag, but a version's tag is its number",
            remote=address,
            hint=f"leave the tag away; for an alias: --alias {found.tag}",
        )
    remote = OciRemote(found, Client(found), writing=create)
    try:
        remote.check_reachable()
    except BaseException:
        remote.close()
        raise
    return remote


class OciRemote:
    """The blobs and tags of a repository."""

    def __init__(self, address: Address, client: Client, *, writing: bool) -> None:
        self._address = address
        self._client = client
        self._writing = writing

    def check_reachable(self) -> None:
        """Look whether there is a registry; raises RemoteError."""
        self._client.ask("GET", "", accept=(200,))

    def has(self, sha256: str, size: int) -> bool:
        """Say whether a file of that size is there."""
        answer = self._client.ask("HEAD", self._url(f"blobs/sha256:{sha256}"), accept=GONE)
        return answer.status == 200 and answer.headers.get("Content-Length") == str(size)

    def read(self, sha256: str) -> Iterable[bytes]:
        """Yield a file's bytes."""
        return self._client.stream(self._url(f"blobs/sha256:{sha256}"))

    def write(self, sha256: str, size: int, chunks: Iterable[bytes]) -> None:
        """Upload a file, a large one in parts; the registry compares its digest."""
        begun = self._client.ask("POST", self._url("blobs/uploads/"), accept=(202,))
        place = self._location(begun)
        try:
            # the last part goes with the digest
            parts = _parts(chunks, max(PART, _least(begun)))
            last, start = next(parts), 0
            for part in parts:
                place = self._append(place, last, start)
                last, start = part, start + len(last)
            self._finish(place, last, f"sha256:{sha256}")
        except BaseException:
            self._cancel(place)
            raise

    def read_manifest(self, digest: str) -> Iterable[bytes]:
        """Yield a manifest's bytes."""
        return self._client.stream(self._url(f"blobs/{digest}"))

    def write_manifest(self, digest: str, data: bytes) -> None:
        """Upload a manifest, as a file."""
        self._store(digest, data)

    def read_signatures(self, digest: str) -> Iterable[Iterable[bytes]]:
        """Yield a manifest's signatures."""
        for signature, _ in self._signatures(digest):
            yield self.read(signature.removeprefix("sha256:"))

    def write_signature(self, digest: str, data: bytes) -> None:
        """Upload a signature, and add it to those that a tag lists; of two at once one may win."""
        present = self._signatures(digest)
        added = (oci_pack.digest_of(data), len(data))
        if added not in present:
            self._store(added[0], data)
            self._store(oci_pack.digest_of(oci_pack.EMPTY), oci_pack.EMPTY)
            packed = oci_pack.pack_signatures([*present, added])
            self._tag(oci_pack.signatures_tag(digest), packed)

    def names(self) -> Sequence[str]:
        """Return the name of the newest version; all have the same."""
        numbers = self._tagged()
        return [self._require(str(max(numbers))).name] if numbers else []

    def numbers(self, name: str) -> Sequence[int]:
        """Return the numbers that are tags; of another name than the repository's there are none.

        Raises RemoteError when versions of that name are to be pushed.
        """
        others = [other for other in self.names() if other != name]
        if not others:
            return self._tagged()
        if self._writing:
            raise RemoteError(
                f"{self._address.text} holds versions of {others[0]!r}, and one name alone",
                remote=self._address.text,
                hint=f"push to another repository, such as {self._address.text}-{name}",
            )
        return []

    def resolve(self, name: str, number: int) -> str | None:
        """Return the digest of the manifest that a tag leads to."""
        found = self._find(str(number))
        if found is None or found.name != name:
            return None
        if found.number != number:
            raise IntegrityError(f"{self._address.text}: the tag {number} is that of {found}")
        return found.digest

    def publish(self, name: str, number: int, digest: str) -> bool:
        """Tag a version, unless there is such a tag."""
        if number in self.numbers(name) or self._find(str(number)) is not None:
            return False
        data = b"".join(self._up_to_limit(digest))
        manifest = parse_manifest(data, digest, f"{self._address.text}: {name}@{number}")
        config, packed = oci_pack.pack(manifest, digest, len(data), number)
        self._store(oci_pack.digest_of(config), config)
        self._tag(str(number), packed)
        return True

    def read_alias(self, name: str, alias: str) -> int | None:
        """Return the number of the version that a tag leads to."""
        found = self._find(alias)
        return found.number if found is not None and found.name == name else None

    def write_alias(self, name: str, alias: str, number: int, expected: int | None) -> bool:
        """Give a version one more tag, after a look at where that leads."""
        if self.read_alias(name, alias) != expected:
            return False
        packed = self._packed(str(number))
        if packed is None:
            raise NotFoundError(f"{self._address.text} has no {name}@{number}")
        self._tag(alias, packed)
        return True

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _url(self, path: str) -> str:
        return f"{self._address.repository}/{path}"

    def _location(self, answer: Answer) -> str:
        place = answer.headers.get("Location")
        if not place:
            raise IntegrityError(f"{self._address.text} does not say where to upload")
        return answer.follow(place)

    def _append(self, place: str, part: bytes, start: int) -> str:
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"{start}-{start + len(part) - 1}",
        }
        return self._location(
            self._client.ask("PATCH", place, content=part, headers=headers, accept=(202,))
        )

    def _finish(self, place: str, part: bytes, digest: str) -> None:
        """Send the last part, and with it what all of them together have to be."""
        query = "&" if "?" in place else "?"
        self._client.ask(
            "PUT",
            f"{place}{query}digest={digest}",
            content=part,
            headers={"Content-Type": "application/octet-stream"},
            accept=(201,),
        )

    def _cancel(self, place: str) -> None:
        try:
            self._client.ask("DELETE", place, accept=(202, 204))
        except (RemoteError, IntegrityError):
            return  # the error that led here is the one to report; registries sweep uploads

    def _store(self, digest: str, data: bytes) -> None:
        sha256 = digest.removeprefix("sha256:")
        if not self.has(sha256, len(data)):
            self.write(sha256, len(data), (data,))

    def _tag(self, tag: str, packed: bytes) -> None:
        self._client.ask(
            "PUT",
            self._url(f"manifests/{tag}"),
            content=packed,
            headers={"Content-Type": oci_pack.MANIFEST_TYPE},
            accept=(201,),
        )

    def _packed(self, tag: str) -> bytes | None:
        answer = self._client.ask("GET", self._url(f"manifests/{tag}"), headers=ACCEPT, accept=GONE)
        return answer.body if answer.status == 200 else None

    def _find(self, tag: str) -> Ref | None:
        packed = self._packed(tag)
        return None if packed is None else oci_pack.unpack(packed, f"{self._address.text}: {tag}")

    def _signatures(self, digest: str) -> list[tuple[str, int]]:
        """Return digests and sizes of a manifest's signatures."""
        tag = oci_pack.signatures_tag(digest)
        packed = self._packed(tag)
        where = f"{self._address.text}: {tag}"
        return [] if packed is None else oci_pack.unpack_signatures(packed, where)

    def _require(self, tag: str) -> Ref:
        found = self._find(tag)
        if found is None:
            raise IntegrityError(f"{self._address.text} lists the tag {tag}, and lacks it")
        return found

    def _tagged(self) -> list[int]:
        """Return the numbers that are tags; that of the address alone, where it names a tag."""
        if (tag := self._address.tag) is not None:
            found = self._find(tag)
            return [found.number] if found is not None else []
        tags = (tag for page in self._pages() for tag in page)
        return [int(tag) for tag in tags if oci_pack.NUMBER_RULE.fullmatch(tag)]

    def _pages(self) -> Iterator[list[str]]:
        url = self._url("tags/list")
        for _ in range(PAGES):
            answer = self._client.ask("GET", url, accept=GONE)
            if answer.status != 200:
                return
            tags = answer.json().get("tags") or []
            if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
                raise IntegrityError(f"{self._address.text} gives no list of tags")
            yield tags
            following = re.match(r'\s*<([^>]+)>.*\brel="?next"?', answer.headers.get("Link", ""))
            if following is None:
                return
            url = answer.follow(following[1])

    def _up_to_limit(self, digest: str) -> Iterator[bytes]:
        size = 0
        for chunk in self.read_manifest(digest):
            yield chunk
            size += len(chunk)
            if size > MAX_MANIFEST:
                return


def _least(answer: Answer) -> int:
    """Return how many bytes a registry wants a part to have at least."""
    least = answer.headers.get("OCI-Chunk-Min-Length", "0")
    return min(int(least), 1 << 30) if least.isdigit() else 0


def _parts(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the same bytes in parts of ``size``; the last is shorter, or empty."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) > size:
            yield bytes(held[:size])
            del held[:size]
    yield bytes(held)
