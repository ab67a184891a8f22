"""Examples that a plugin gives of a format that nobody else writes, and attacks made of them."""

import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.subject import Subject

MARKER: Final = "executed"
"""The name of the file that an attack writes if it is executed."""


def example_writer(subject: Subject, owner: str) -> Callable[[Path], Any]:
    """Return the function ``example`` of the case: it writes an example into an empty folder.

    Raises NotApplicableError where there is none, which is the fault of the check ``owner``.
    """
    example = subject.params.get("example")
    if example is None:
        raise NotApplicableError(f"comes after {owner}, which fails")
    if callable(example):
        return example  # type: ignore[no-any-return]
    spec = replace(subject.offer.spec, implementation=example, requires=())
    return subject.catalogue.implementation(spec)  # type: ignore[no-any-return]


def require_example(subject: Subject, returns: str) -> None:
    """Raise CheckFailedError where the case names no example."""
    if "example" not in subject.params:
        raise CheckFailedError(
            "there is no example of what it reads",
            hint='give one in adapterhub_conformance: params={"example": "package.module:function"}'
            f", a function that writes it into the empty folder that it is given, and returns "
            f"{returns}",
        )


def digests(folder: Path) -> dict[str, str]:
    """Return the hash of every file below a folder, or of the file itself, by its relative name."""
    files = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file())
    return {
        file.relative_to(folder).as_posix(): sha256(file.read_bytes()).hexdigest() for file in files
    }


def files_of(place: Path) -> list[Path]:
    """Return a file, or all files below a folder."""
    return [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())


class _Attack:
    """Unpickled, it writes a file."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._marker,)


def attacks(folder: Path) -> Iterator[tuple[str, bytes, Path]]:
    """Yield contents that write a file if they are executed: what it is, the bytes, that file."""
    marker = folder / MARKER
    touch = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    contents: Mapping[str, bytes] = {
        "a pickle": pickle.dumps(_Attack(marker)),
        "a pickle in ASCII": pickle.dumps(_Attack(marker), protocol=0),
        "a Python expression": f"{touch}\n".encode(),
        "a YAML tag": f"!!python/object/apply:eval [{touch!r}]\n".encode(),
    }
    for what, content in contents.items():
        yield what, content, marker
