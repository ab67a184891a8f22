"""Where things lie in a bundle and in a store: as in a registry's own folder."""

import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from adapterhub_lite.errors import IntegrityError, RemoteError
from adapterhub_lite_registry.refs import Ref, parse_ref, version_number

FORMAT: Final = "FORMAT"
MARK: Final = b"adapterhub-lite-remote 1\n"
REFS: Final = "refs"
TMP: Final = "tmp"
LONGEST_REF: Final = 256
CHUNK: Final = 1 << 22


def blob(sha256: str) -> str:
    """Return where the file with that hash lies."""
    return f"blobs/sha256/{sha256[:2]}/{sha256}"


def manifest(digest: str) -> str:
    """Return where the manifest with that digest lies."""
    sha256 = digest.removeprefix("sha256:")
    return f"manifests/sha256/{sha256[:2]}/{sha256}"


def signatures(digest: str) -> str:
    """Return the folder of the signatures of the manifest with that digest."""
    return f"signatures/{digest.removeprefix('sha256:')}"


def signature(digest: str, data: bytes) -> str:
    """Return where a signature lies."""
    return f"{signatures(digest)}/{sha256(data).hexdigest()}.json"


def versions(name: str) -> str:
    """Return the folder of a name's version references."""
    return f"{REFS}/{name}/v"


def version(name: str, number: int) -> str:
    """Return where a version's reference lies."""
    return f"{versions(name)}/{number:08d}"


def alias(name: str, alias: str) -> str:
    """Return where an alias lies."""
    return f"{REFS}/{name}/alias/{alias}"


def line(name: str, number: int, digest: str) -> bytes:
    """Return a reference as it is stored."""
    return Ref(name, number, digest).line()


def read_line(data: bytes, place: str, name: str, number: int | None = None) -> Ref:
    """Return a stored reference; raises IntegrityError unless it is one of ``name``."""
    found = parse_ref(data, place)
    if found.name != name or number not in (None, found.number):
        raise IntegrityError(f"{place}: the reference is that of {found}")
    return found


def numbers(entries: Iterable[str]) -> list[int]:
    """Return the numbers that files of references stand for; others are passed over."""
    return [number for entry in entries if (number := version_number(entry)) is not None]


def local_path(address: str) -> Path:
    """Return the path in ``file:relative``, ``file:/absolute`` or ``file:///absolute``.

    Raises RemoteError for a path of another machine, or none.
    """
    parts = urlsplit(address)
    if parts.netloc not in ("", "localhost"):
        raise RemoteError(
            f"{address} is on the machine {parts.netloc!r}",
            remote=address,
            hint=f"for a folder of this machine write {parts.scheme}:{parts.netloc}{parts.path}, "
            f"or with its whole path {parts.scheme}:///{parts.netloc}{parts.path}",
        )
    path = re.sub(r"^[^:]+:(//(localhost)?)?", "", address)
    if not path:
        raise RemoteError(f"{address!r} has no path", remote=address)
    return Path(unquote(path)).expanduser()
