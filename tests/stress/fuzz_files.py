"""Files that a stranger sends: safetensors headers, manifests, names, archives; with oracles."""

import hashlib
import io
import json
import ntpath
import posixpath
import random
import struct
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

import numpy as np
import rfc8785
from safetensors import deserialize
from safetensors.numpy import save

from adapterhub_lite.architecture import read_header
from adapterhub_lite.deployment.archives import unpacked
from adapterhub_lite.deployment.untrusted import check_header
from adapterhub_lite.deployment.weights import with_checked_header
from adapterhub_lite.errors import AdapterHubError, InvalidManifestError
from adapterhub_lite.streaming.headers import read_file_header
from adapterhub_lite_registry import FileEntry, Manifest, codec, parse_manifest
from adapterhub_lite_registry.names import (
    check_alias,
    check_name,
    check_paths,
    parse_reference,
    suggest_name,
)
from tests.stress.fuzzing import Attempt, Target
from tests.stress.mutations import TEXTS, encode, mutate_bytes, mutate_json, mutate_text

ALPHABET = set("abcdefghijklmnopqrstuvwxyz0123456789._-")
SHA = "0123456789abcdef" * 4


def packed(header: str, room: int = 24) -> bytes:
    """Return a safetensors file with that header."""
    text = header.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + bytes(room)


def one_tensor(shape: str, offsets: str = "[0,24]", more: str = "") -> bytes:
    return packed(f'{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}{more}}}}}')


HEADERS = (
    save({"a": np.ones((2, 3), np.float32)}),
    save({"a": np.ones(4, np.float16), "b.weight": np.array(7)}, metadata={"format": "pt"}),
    save({f"layer.{n}": np.ones((n, 2), np.int8) for n in range(1, 9)}),
    packed("{}", 0),
    one_tensor("[" + "9," * 500_000 + "9]"),
    one_tensor("[" + ",".join(["9" * 4000] * 300) + "]"),
    one_tensor("[2,3]", "[0.0,24.0]"),
    one_tensor("[2,3]", "[false,24]"),
    one_tensor("[2,3]", "[-0,24]"),
    one_tensor("[2,3]", "[0,1e999]"),
    one_tensor("[1]", "[4,8]"),
    one_tensor("{}", "[0,4]"),
    one_tensor("[2,3]", "[0,24]", ',"more":[NaN]'),
    packed('"__metadata__"'),
    packed('{"\\ud800":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'),
    packed('{"__metadata__":{"a":1}}', 0),
    packed('{"__metadata__":[]}', 0),
)  # fmt: skip


def make_header(rng: random.Random) -> bytes:
    data = rng.choice(HEADERS[:3])
    if rng.random() < 0.25:
        return mutate_bytes(data, rng, rng.choice(HEADERS[:3]))
    (length,) = struct.unpack("<Q", data[:8])
    text = encode(mutate_json(data[8 : 8 + length], rng), rng)
    told = len(text) + rng.choice((0, 0, 0, 0, 0, 0, 1, -1, 2**31, 2**63))
    return struct.pack("<Q", max(told, 0)) + text + data[8 + length :]


def prepare_header(place: Path) -> Attempt:
    def attempt(data: bytes, work: Path) -> None:
        file = work / "a.safetensors"
        file.write_bytes(data)
        for reader in (read_header, read_file_header):  # of files that are ours already
            with suppress(AdapterHubError):
                reader(file, "here")
        found = check_header(file, "here")
        stored = {name: (one["dtype"], tuple(one["shape"])) for name, one in deserialize(data)}
        assert {name: (one.dtype, one.shape) for name, one in found.items()} == stored
        pieces = (data[at : at + 7] for at in range(0, len(data), 7))
        assert b"".join(with_checked_header(pieces, len(data), "a", "here")) == data
        assert {
            name: (one.dtype, one.shape) for name, one in read_header(file, "x").items()
        } == stored

    return attempt


def manifest_of(*paths: str, **fields: Any) -> bytes:
    """Return a manifest's bytes."""
    files = [
        FileEntry(path=path, sha256=SHA, size=3, media_type="a/b", role="data") for path in paths
    ]
    told = {"kind": "adapter", "name": "support", "created_at": "2026-01-01T00:00:00.000000Z"}
    return codec.encode(Manifest.model_validate({**told, "files": files, **fields}))


MANIFESTS = (
    manifest_of("adapter_config.json", "adapter_model.safetensors"),
    manifest_of(
        "1_Pooling/config.json", "é.json", "README.md",
        description="an adapter", task="text-classification", seed=7, license="mit",
        base={"ref": "org/base", "weights_sha256": SHA, "hidden": 32, "layers": 2},
        method={"name": "lora", "plugin": "x", "plugin_version": "0.1"},
        hyperparameters={"r": 8, "alpha": 16.5, "deep": {"a": [1, [2, {"b": None}]]}},
        metrics=[{"name": "accuracy", "value": 0.91, "n": 500, "ci": [0.9, 0.92]}],
        parents=[{"digest": f"sha256:{SHA}", "role": "base", "weight": 0.5}],
        signature={"inputs": ["text"], "labels": ["a", "b"]},
        tensors={"count": 4, "dtypes": {"F32": 4}},
    ),
    manifest_of("a").replace(b'"path":"a"', b'"path":"C:a"'),
    manifest_of("a", "b").replace(b'"path":"a"', '"path":"é"'.encode()).replace(
        b'"path":"b"', '"path":"e\u0301"'.encode()),
)  # fmt: skip


def make_manifest(rng: random.Random) -> bytes:
    data = rng.choice(MANIFESTS[:2])
    if rng.random() < 0.1:
        return mutate_bytes(data, rng, MANIFESTS[0])
    text = mutate_json(data, rng)
    with suppress(ValueError, RecursionError):  # most of them canonical, to be read further
        if rng.random() < 0.7:
            return rfc8785.dumps(json.loads(text))
    return encode(text, rng)


def is_inside(path: str) -> bool:
    """Tell whether a path stays below its folder, on this system and on Windows."""
    there = ntpath.normpath(ntpath.join("D:\\folder", path))
    return posixpath.normpath(posixpath.join("/folder", path)).startswith("/folder/") and (
        there.startswith("D:\\folder\\") and ":" not in there[2:]
    )


def check_manifest(data: bytes, manifest: Manifest) -> None:
    """Fail unless a manifest is what its bytes say, and its files could lie in one folder."""
    said = json.loads(data, parse_int=float)  # as JSON's numbers are where it comes from
    assert rfc8785.dumps(said) == data
    read = json.dumps(manifest.model_dump(mode="json", by_alias=True, exclude_unset=True))
    assert json.loads(read, parse_int=float) == said
    paths = [entry.path for entry in manifest.files]
    assert all(map(is_inside, paths)), paths
    folded = {unicodedata.normalize("NFD", path).casefold() for path in paths}
    assert len(folded) == len(paths) > 0
    assert set(manifest.name) <= ALPHABET
    assert not any(path.casefold().endswith((".pkl", ".bin", ".pt", ".pickle")) for path in paths)


def prepare_manifest(place: Path) -> Attempt:
    def attempt(data: bytes, work: Path) -> None:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        check_manifest(data, parse_manifest(data, digest, "here"))

    return attempt


NAMES = ("support", "support@7", "support@prod", f"support@sha256:{SHA}", "a-b.c_d", *TEXTS)


def make_name(rng: random.Random) -> bytes:
    text = rng.choice(NAMES)
    for _ in range(rng.choice((1, 1, 2, 5))):
        text = mutate_text(text, rng)
    return text.encode("utf-8", "surrogatepass")


def prepare_name(place: Path) -> Attempt:
    def is_plain(name: str) -> bool:
        return 0 < len(name) < 64 and set(name) <= ALPHABET and name[0] not in "._-"

    def attempt(data: bytes, work: Path) -> None:
        text = data.decode("utf-8", "surrogatepass")
        check_name(suggest_name(text))
        with suppress(InvalidManifestError):
            check_paths([text])
            assert is_inside(text)
        with suppress(AdapterHubError):
            assert is_plain(check_name(text))
        with suppress(AdapterHubError):
            assert is_plain(check_alias(text))
            assert not text.isdecimal()
        found = parse_reference(text)
        assert is_plain(found.name)
        name, _, target = text.partition("@")
        assert name == found.name
        told = found.alias or found.digest or ("" if found.number is None else found.number)
        assert str(told) == (str(int(target)) if target.isdecimal() else target)

    return attempt


FILES: Mapping[str, bytes] = {
    "model/config.json": b'{"hidden_size": 32}',
    "model/model.safetensors": HEADERS[0] * 9,
    "model/1_Pooling/config.json": b"{}",
    "model/vocab.txt": b"one\ntwo\n",
}
Pack = Callable[[list[tuple[str, bytes]], random.Random], bytes]
KINDS = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE,
         tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE, b"g", b"x", b"L", b"S", b"Z")  # fmt: skip


def pack_tar(members: list[tuple[str, bytes]], rng: random.Random) -> bytes:
    stream = io.BytesIO()
    form = rng.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if rng.random() < 0.02:
                info.type, info.linkname = rng.choice(KINDS), rng.choice(TEXTS[:12])
            with suppress(ValueError, OverflowError):  # no name for this form
                archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def summed(data: bytes) -> bytes:
    """Return a tar whose headers have the right sums again, so that they are read at all."""
    found = bytearray(data)
    for at in range(0, len(found) - 511, 512):
        block = found[at : at + 512]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            found[at + 148 : at + 156] = b"%06o\x00 " % sum(block)
    return bytes(found)


def pack_zip(members: list[tuple[str, bytes]], rng: random.Random) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(
        stream, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    ) as archive:
        for name, data in members:
            with suppress(ValueError):  # the library looks a name over as well
                info = zipfile.ZipInfo(name or "empty")
                info.external_attr = rng.choice((0, 0, 0, 0, 0o120777, 0o100644, 0o040755)) << 16
                archive.writestr(info, data, rng.choice((None, zipfile.ZIP_BZIP2)))
    return stream.getvalue()


def make_archive(rng: random.Random) -> bytes:
    import gzip
    import warnings

    members = list(FILES.items())
    for _ in range(rng.choice((0, 1, 1, 3))):
        name, data = rng.choice(members)
        members.append((mutate_text(name, rng).encode("utf-8", "replace").decode(), data))
    if rng.random() < 0.5:
        members.pop(rng.randrange(len(members)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a member that is there twice
        data = rng.choice((pack_tar, pack_zip))(members, rng)
    if rng.random() < 0.7:
        data = mutate_bytes(data, rng, data)
        data = summed(data) if rng.random() < 0.7 else data
    if not data.startswith(b"PK") and rng.random() < 0.4:
        data = gzip.compress(data, 1)
        data = mutate_bytes(data, rng) if rng.random() < 0.3 else data
    return data


ARCHIVES = tuple(pack(list(FILES.items()), random.Random(0)) for pack in (pack_tar, pack_zip))


def contents(file: Path) -> list[bytes]:
    """Return what the library finds in an archive's files, sorted."""
    if zipfile.is_zipfile(file) and file.read_bytes().startswith(b"PK"):
        with zipfile.ZipFile(file) as archive:
            return sorted(_read(archive, one) for one in archive.infolist() if not one.is_dir())
    with tarfile.open(file) as opened:
        members = [one for one in opened.getmembers() if one.isreg()]
        return sorted(opened.extractfile(one).read() for one in members)  # type: ignore[union-attr]


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as opened:  # at once it would take as much memory as it says it has
        return b"".join(iter(lambda: opened.read(2**20), b""))


def prepare_archive(place: Path) -> Attempt:
    def attempt(data: bytes, work: Path) -> None:
        file = work / "model.tar.gz"
        file.write_bytes(data)
        with unpacked(file) as folder:
            found = list(folder.rglob("*"))
            modes = [one.lstat().st_mode for one in found]
            assert all(S_ISREG(mode) or S_ISDIR(mode) for mode in modes)
            assert all(mode & 0o7000 == 0 for mode in modes)
            held = sorted(one.read_bytes() for one in found if one.is_file())
        assert held == contents(file)

    return attempt


TARGETS = (
    Target("header", make_header, prepare_header, HEADERS),
    Target("manifest", make_manifest, prepare_manifest, MANIFESTS),
    Target(
        "name", make_name, prepare_name, tuple(t.encode("utf-8", "surrogatepass") for t in NAMES)
    ),
    Target("archive", make_archive, prepare_archive, ARCHIVES),
)
