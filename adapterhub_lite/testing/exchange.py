"""Tiny trained versions for what takes versions, and what is looked for in what is written."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite import api
from adapterhub_lite.specs import ResolvedBase
from adapterhub_lite.testing.examples import files_of
from adapterhub_lite.testing.outcomes import CheckFailedError
from adapterhub_lite.testing.sharing import made_once
from adapterhub_lite.testing.subject import Subject
from adapterhub_lite.testing.tiny import TINY_ROWS, write_tiny_model

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry

BASE_NAME: Final = "lab/tiny-bert"
"""What the tiny base is called, so that a path of this machine has no reason to be written."""
RECIPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "a whole model": {"method": "full"},
    "an adapter": {"method": {"name": "lora", "r": 4}},
}
"""What is exported where the case names no recipe: classifiers, trained for two steps."""
LABELLED: Final = (("text", "label"), *TINY_ROWS)
"""The rows that it is trained on, below their header."""
PICKLES: Final = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")
"""How pickles begin, and the archives that torch and numpy put them in."""


@dataclass(frozen=True, slots=True)
class TinyVersion:
    """A published version: what it is, its folder, and the base of an adapter."""

    what: str
    folder: Path
    base: ResolvedBase | None


def tiny_versions(subject: Subject) -> list[TinyVersion]:
    """Return versions of text classification, or the one that the case's ``recipe`` trains."""
    own = subject.params.get("recipe")
    recipes = {"the version of the case's recipe": own} if own else RECIPES
    return [
        made_once(subject, what, lambda what=what, own=own: _train(subject, what, own))  # type: ignore[misc]
        for what, own in recipes.items()
    ]


def tiny_base(subject: Subject) -> ResolvedBase:
    """Return the base of the versions, as something that has a name and not only a path."""
    folder = subject.shared / "exchange-base"
    if not folder.exists():
        # at the usual 0.02 a model of this size hardly tells its inputs apart
        write_tiny_model(folder, initializer_range=0.2)
    return ResolvedBase(ref=BASE_NAME, path=str(folder), source="packaged")


def registry_of(subject: Subject) -> "Registry":
    """Return the registry that the versions are published to."""
    return api.open_registry(subject.shared / "exchange-registry")


def _train(subject: Subject, what: str, own: Mapping[str, Any]) -> TinyVersion:
    from adapterhub_lite.inference.artifact import read_artifact_info

    folder = published(subject, own)
    return TinyVersion(
        what, folder, tiny_base(subject) if read_artifact_info(folder).base else None
    )


def published(
    subject: Subject, own: Mapping[str, Any], rows: Sequence[tuple[str, str]] = LABELLED
) -> Path:
    """Return the folder of the version that a recipe trains, by its own keys, on rows of a table.

    All that is checked in the same shared folder gets to see the version, which is trained once.
    """
    registry = registry_of(subject)
    told = json.dumps([own, rows], sort_keys=True)
    name = f"tiny-{sha256(told.encode()).hexdigest()[:12]}"
    if name not in registry.names():
        _publish(subject, name, own, rows)
    return registry.path(registry.resolve(name))


def _publish(
    subject: Subject, name: str, own: Mapping[str, Any], rows: Sequence[tuple[str, str]]
) -> None:
    table = subject.shared / f"{name}.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    recipe: dict[str, Any] = {
        "base": tiny_base(subject).path,
        "objective": {"name": "classification", "max_steps": 2, "learning_rate": 0.01},
        "data": {"train": str(table)},
        **own,
        "publish": name,
    }
    api.train(recipe, registry=registry_of(subject), catalogue=subject.catalogue)


@contextmanager
def elsewhere(folder: Path) -> Iterator[None]:
    """Work in an empty folder, and find it empty afterwards; raises CheckFailedError."""
    folder.mkdir()
    with chdir(folder):
        yield
    if left := files_of(folder):
        raise CheckFailedError(f"it writes into the current folder: {left[0].name}")


def require_no_pickles(folder: Path) -> None:
    """Raise CheckFailedError for a link or a pickle below a folder."""
    for place in sorted(folder.rglob("*")):
        name = place.relative_to(folder).as_posix()
        if place.is_symlink():
            raise CheckFailedError(f"{name} is a link")
        if place.is_file():
            with place.open("rb") as stream:
                if stream.read(4).startswith(PICKLES):
                    raise CheckFailedError(f"{name} is a pickle, or an archive of them")


def require_no_paths(folder: Path, *places: Path) -> None:
    """Raise CheckFailedError where a file below ``folder`` names a place of this machine."""
    for file in files_of(folder):
        content = file.read_bytes()
        for place in places:
            if str(place).encode() in content:
                raise CheckFailedError(
                    f"{file.relative_to(folder)} names a path of this machine: {place}"
                )
