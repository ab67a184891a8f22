"""Archives that mean harm, each to be refused."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path


def tar_of(place: Path, *members: tuple[tarfile.TarInfo, bytes], packed: bool = True) -> Path:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz" if packed else "w") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    place.write_bytes(stream.getvalue())
    return place


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zeros(megabytes: int, head: bytes = b"") -> bytes:
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1) as packed:
        packed.write(head)
        for _ in range(megabytes):
            packed.write(bytes(2**20))
    return stream.getvalue()


def archives(place: Path) -> Iterator[tuple[str, Path]]:
    """Yield archives by what is wrong with them."""
    kinds = {"a link": tarfile.SYMTYPE, "a hard link": tarfile.LNKTYPE, "a pipe": tarfile.FIFOTYPE}
    kinds |= {"a device": tarfile.CHRTYPE}
    for what, kind in kinds.items():
        yield (
            f"{what} in a tar",
            tar_of(place / f"{what}.tar.gz", (member("config.json", kind, "/etc/passwd"), b"")),
        )
    for number, name in enumerate(("../escaped", "/escaped", "a/../../escaped", "a\\..\\b", "C:x",
                                   "a/b/c/d/e/f", "a" * 300, "a\nb", "a/")):  # fmt: skip
        info = member(name)
        yield f"{name[:20]!r} in a tar", tar_of(place / f"name{number}.tar", (info, b"x"))
        with zipfile.ZipFile(place / f"name{number}.zip", "w") as archive:
            archive.writestr(name, b"x")
        yield f"{name[:20]!r} in a zip", place / f"name{number}.zip"
    twice = (member("config.json"), b"{}")
    yield "a member twice", tar_of(place / "twice.tar", twice, twice)
    with zipfile.ZipFile(place / "link.zip", "w") as archive:
        linked = zipfile.ZipInfo("config.json")
        linked.external_attr = 0o120777 << 16
        archive.writestr(linked, "/etc/passwd")
    yield "a link in a zip", place / "link.zip"
    with zipfile.ZipFile(place / "bomb.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("model.safetensors", bytes(100 * 2**20))
    yield "a zip bomb", place / "bomb.zip"
    info = member("model.safetensors")
    info.size = 100 * 2**20
    (place / "bomb.tgz").write_bytes(zeros(100, info.tobuf()))
    yield "a gzip bomb", place / "bomb.tgz"
    huge = member("././@PaxHeader", tarfile.XHDTYPE)
    huge.size = 2**32
    (place / "pax.tgz").write_bytes(zeros(8, huge.tobuf(tarfile.GNU_FORMAT)))
    yield "a header of 4 GiB", place / "pax.tgz"
    many = [(member(f"f{number}"), b"") for number in range(2_001)]
    yield "too many members in a tar", tar_of(place / "many.tgz", *many)
    with zipfile.ZipFile(place / "many.zip", "w") as archive:
        for number in range(2_001):
            archive.writestr(f"f{number}", b"")
    yield "too many members in a zip", place / "many.zip"
    (place / "cut.zip").write_bytes((place / "many.zip").read_bytes()[:-30])
    yield "a zip that is cut", place / "cut.zip"
    (place / "none.tar").write_bytes(b"no archive at all" * 100)
    yield "no archive", place / "none.tar"
