"""Remotes that lie: bundles and OCI repositories whose every byte may be somebody else's."""

import io
import json
import random
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import rfc8785

from adapterhub_lite.errors import AdapterHubError, NotFoundError
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.remotes import pull_version
from adapterhub_lite.remotes.finding import find_version
from adapterhub_lite.remotes.pull import pull_found
from adapterhub_lite_registry import ManifestDraft, Registry, Version, parse_manifest
from adapterhub_lite_remotes import layout, oci_pack
from adapterhub_lite_remotes.archive import head_block
from adapterhub_lite_remotes.oci import OciRemote
from adapterhub_lite_remotes.oci_address import parse_address
from adapterhub_lite_remotes.oci_http import Answer, Client
from tests.stress.fuzz_files import (
    HEADERS,
    MANIFESTS,
    check_manifest,
    make_header,
    make_manifest,
    summed,
)
from tests.stress.fuzzing import Attempt, Target
from tests.stress.mutations import TEXTS, encode, mutate_bytes, mutate_json, mutate_text

FILES: Mapping[str, bytes] = {
    "adapter_model.safetensors": HEADERS[0],
    "adapter_config.json": b'{"r": 8}',
    "tokenizer/vocab.txt": b"one\ntwo\n",
}
CHECKED_EACH = 1_000
LISTED = b'{"name":"acme/support","tags":["1","prod"]}'
Members = list[tuple[str, bytes]]


def hex_of(data: bytes) -> str:
    return sha256(data).hexdigest()


@cache
def honest() -> tuple[bytes, dict[str, bytes]]:
    """Return the manifest of a version, and its files by their hash."""
    with tempfile.TemporaryDirectory() as home:
        registry = Registry.open(Path(home))
        version = registry.publish("support", FILES, ManifestDraft(kind="adapter"))
        data = registry.exchange.read_manifest(version.digest)
    return data, {hex_of(content): content for content in FILES.values()}


def dishonest(rng: random.Random) -> tuple[bytes, dict[str, bytes]]:
    """Return a manifest and files of which something is wrong, with hashes that are right again."""
    data, blobs = honest()
    blobs = dict(blobs)
    match rng.randrange(4):
        case 0:
            header = make_header(rng)
            told = json.loads(data)
            for entry in told["files"]:
                if entry["path"].endswith(".safetensors"):
                    entry |= {"sha256": hex_of(header), "size": len(header)}
            data, blobs[hex_of(header)] = rfc8785.dumps(told), header
        case 1:
            place = rng.choice(sorted(blobs))
            blobs[place] = mutate_bytes(blobs[place], rng)
        case 2:
            text = mutate_json(data, rng)
            data = encode(text, rng)
            with suppress(ValueError, RecursionError):
                data = rfc8785.dumps(json.loads(text))
        case _:
            data = make_manifest(rng)
    return data, blobs


def members_of(manifest: bytes, blobs: Mapping[str, bytes]) -> Members:
    """Return what lies in a bundle with these."""
    digest = f"sha256:{hex_of(manifest)}"
    line = layout.line("support", 1, digest)
    return [
        (layout.FORMAT, layout.MARK),
        *((layout.blob(name), data) for name, data in blobs.items()),
        (layout.manifest(digest), manifest),
        (layout.version("support", 1), line),
        (layout.alias("support", "prod"), line),
    ]


def bundle(members: Members) -> bytes:
    stream = io.BytesIO()
    for name, data in members:
        with suppress(ValueError, UnicodeError):  # no name for a tar
            stream.write(head_block(name, len(data)) + data + bytes(-len(data) % 512))
    return stream.getvalue() + bytes(2 * tarfile.BLOCKSIZE)


def make_bundle(rng: random.Random) -> bytes:
    members = members_of(*(honest() if rng.random() < 0.5 else dishonest(rng)))
    for _ in range(rng.choice((0, 0, 1, 2))):
        place, other = rng.randrange(len(members)), rng.randrange(len(members))
        name, data = members[place]
        changed = (
            (mutate_text(name, rng), data),
            (name, mutate_bytes(data, rng)),
            (name, members[other][1]),
            (members[other][0], data),
            (name.replace("support", rng.choice(TEXTS)), data),
        )
        members[place] = rng.choice(changed)
    data = bundle(members)
    if rng.random() < 0.4:
        data = (
            summed(mutate_bytes(data, rng, data)) if rng.random() < 0.8 else mutate_bytes(data, rng)
        )
    return data


class Taken:
    """A registry into which all is pulled: whatever comes in has to be whole.

    It is begun anew now and then, since each pull looks at all versions of its name.
    """

    def __init__(self, place: Path) -> None:
        self.registry = Registry.open(place / "registry")
        self.pulls = 0

    def check(self, version: Version) -> None:
        """Fail unless a version that came in is what it says, and the registry is whole."""
        data = self.registry.exchange.read_manifest(version.digest)
        assert f"sha256:{hex_of(data)}" == version.digest
        check_manifest(data, version.manifest)
        for entry in version.manifest.files:
            found = self.registry.read_file(version, entry.path)
            assert (hex_of(found), len(found)) == (entry.sha256, entry.size)
        self.pulls += 1
        if self.pulls % CHECKED_EACH in (1, 0):
            assert self.registry.fsck(read_data=True).problems == ()
        if self.pulls % CHECKED_EACH == 0:
            shutil.rmtree(self.registry.home)
            self.registry = Registry.open(self.registry.home)


def prepare_bundle(place: Path) -> Attempt:
    catalogue, taken = get_catalogue(first_party_only=True), Taken(place)

    def attempt(data: bytes, work: Path) -> None:
        file = work / "bundle.tar"
        file.write_bytes(data)
        version = pull_version(f"bundle:{file}", taken.registry, catalogue).version
        taken.check(version)
        with suppress(AdapterHubError):
            pull_version(f"bundle:{file}", taken.registry, catalogue, ref="support@prod")

    return attempt


class LyingClient:
    """Answers as an OCI registry would that holds what it is told: tags, and blobs by digest."""

    def __init__(self, listed: bytes, tags: Mapping[str, bytes], contents: Iterable[bytes]) -> None:
        self._listed, self._tags = listed, tags
        self._blobs = {hex_of(content): content for content in contents}

    def ask(self, method: str, url: str, **how: Any) -> Answer:
        tag = "signatures" if url.endswith(".sig") else url.rpartition("/")[2]
        body = self._listed if tag == "list" else self._tags.get(tag, b"")
        return Answer(url, 200 if body else 404, {"Content-Length": str(len(body))}, body)

    def stream(self, url: str) -> Iterator[bytes]:
        place = url.rpartition(":")[2]
        if place not in self._blobs:
            raise NotFoundError("it is not here")
        yield self._blobs[place]

    def close(self) -> None:
        return


def oci_input(listed: bytes, packed: bytes, signed: bytes, *contents: bytes) -> bytes:
    """Return all that a repository holds, as one input."""
    parts = (listed, packed, signed, *contents)
    return json.dumps([part.decode("latin-1") for part in parts]).encode()


def make_oci(rng: random.Random) -> bytes:
    manifest, blobs = honest() if rng.random() < 0.5 else dishonest(rng)
    contents = (manifest, *blobs.values())
    listed, packed, signed = LISTED, packed_of(manifest), b""
    if rng.random() < 0.6:
        packed = encode(mutate_json(packed, rng), rng)
    if rng.random() < 0.1:
        packed = mutate_bytes(packed, rng)
    if rng.random() < 0.2:
        listed = encode(mutate_json(listed, rng), rng)
    if rng.random() < 0.1:
        sizes = [(f"sha256:{hex_of(one)}", len(one)) for one in contents[: rng.randrange(3)]]
        signed = encode(mutate_json(oci_pack.pack_signatures(sizes), rng), rng)
    return oci_input(listed, packed, signed, *contents)


@cache
def good_packed() -> str:
    data = honest()[0]
    digest = f"sha256:{hex_of(data)}"
    return oci_pack.pack(parse_manifest(data, digest, "here"), digest, len(data), 1)[1].decode()


def packed_of(manifest: bytes) -> bytes:
    """Return the OCI manifest that leads to another manifest of ours."""
    return good_packed().replace(hex_of(honest()[0]), hex_of(manifest)).encode()


def prepare_oci(place: Path) -> Attempt:
    taken, address = Taken(place), parse_address("oci://registry.example/acme/support")

    def attempt(data: bytes, work: Path) -> None:
        parts = (part.encode("latin-1") for part in json.loads(data))
        listed, packed, signed, *contents = parts
        tags = {"1": packed, "prod": packed, "signatures": signed}
        client = cast("Client", LyingClient(listed, tags, contents))
        remote = OciRemote(address, client, writing=False)
        with suppress(AdapterHubError):
            remote.read_alias("support", "prod")
        found = find_version(remote, None, "oci://x")
        taken.check(pull_found(remote, found, "oci://x", taken.registry).version)

    return attempt


OCI = (
    oci_input(LISTED, packed_of(honest()[0]), b"", honest()[0], *FILES.values()),
    oci_input(LISTED, packed_of(MANIFESTS[0]), b"", MANIFESTS[0], *FILES.values()),
)
TARGETS = (
    Target("bundle", make_bundle, prepare_bundle, (bundle(members_of(*honest())),)),
    Target("oci", make_oci, prepare_oci, OCI),
)
