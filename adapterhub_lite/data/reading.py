"""A file or folder becomes a table: the reader plugin is found by name, ending or layout."""

from collections import Counter
from pathlib import Path

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError, nearest_name
from adapterhub_lite.protocols import Reader
from adapterhub_lite.specs import ReaderSpec


def read_table(
    path: str | Path, catalogue: Catalogue, *, reader: str | None = None, encoding: str = "utf-8"
) -> Table:
    """Read all rows of a file or folder.

    ``reader`` names the reader where the ending does not tell. Raises DataError when the path is
    missing, unreadable, empty or of an unknown kind when no such reader exists.
    """
    place = Path(path).expanduser()
    try:
        if not place.exists():
            raise _missing(place)
        spec = _named(reader, catalogue) if reader else _fitting(place, catalogue)
        implementation: Reader = catalogue.implementation(spec)
        table = implementation.read(place, encoding)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{place}: cannot be read: {reason}", path=str(place)) from error
    _refuse_unusable(table, place)
    return table


def _missing(place: Path) -> DataError:
    folder = place.parent
    siblings = [item.name for item in folder.iterdir()] if folder.is_dir() else []
    near = nearest_name(place.name, siblings)
    hint = f"did you mean {folder / near}?" if near else ""
    if not folder.is_dir():
        hint = f"the folder {folder} does not exist either"
    return DataError(f"{place}: no such file or folder", path=str(place), hint=hint)


def _named(name: str, catalogue: Catalogue) -> ReaderSpec:
    spec = catalogue.offer("reader", name).spec
    assert isinstance(spec, ReaderSpec), "offers are checked when they are collected"
    return spec


def _fitting(place: Path, catalogue: Catalogue) -> ReaderSpec:
    """Find the one reader for the path; several that fit are an error, never a silent choice."""
    found = _for_folder(place, catalogue) if place.is_dir() else _for_file(place, catalogue)
    if not found:
        _raise_conflict(place.suffix.casefold(), catalogue)
        raise _unknown_kind(place, catalogue)
    if len(found) > 1:
        names = " and ".join(spec.name for spec in found)
        raise DataError(
            f"{place}: the readers {names} both fit",
            path=str(place),
            hint=f"choose one: --format {found[0].name}",
        )
    return found[0]


def _for_folder(place: Path, catalogue: Catalogue) -> list[ReaderSpec]:
    return [
        spec
        for spec in catalogue.readers.values()
        if spec.folders and catalogue.implementation(spec).accepts(place)
    ]


def _for_file(place: Path, catalogue: Catalogue) -> list[ReaderSpec]:
    """Return the readers with the longest ending that fits, so that ``.x.json`` beats ``.json``."""
    name = place.name.casefold()
    fits = [
        (len(suffix), spec)
        for spec in catalogue.readers.values()
        for suffix in spec.suffixes
        if name.endswith(suffix)
    ]
    longest = max((length for length, _ in fits), default=0)
    return [spec for length, spec in fits if length == longest]


def _raise_conflict(suffix: str, catalogue: Catalogue) -> None:
    """Raise PluginConflictError when readers of this ending exist, but in conflict."""
    for offer in catalogue.offers:
        if isinstance(offer.spec, ReaderSpec) and suffix in offer.spec.suffixes:
            catalogue.offer("reader", offer.spec.name)


def _unknown_kind(place: Path, catalogue: Catalogue) -> DataError:
    readers = catalogue.readers.values()
    if place.is_dir():
        layouts = " ".join(f"{spec.name}: {spec.summary}" for spec in readers if spec.folders)
        return DataError(
            f"{place}: a folder that no reader knows",
            path=str(place),
            hint=f"give a file, or one of these folders. {layouts}",
        )
    endings = ", ".join(sorted(suffix for spec in readers for suffix in spec.suffixes))
    return DataError(
        f"{place}: no reader for files that end in {place.suffix or 'nothing'!r}",
        path=str(place),
        hint=f"say what it is with --format, or use one of: {endings}",
    )


def _refuse_unusable(table: Table, place: Path) -> None:
    twice = [repr(name) for name, count in Counter(table.columns).items() if count > 1]
    if twice:
        raise DataError(
            f"{place}: columns that occur twice: {', '.join(twice)}",
            path=str(place),
            hint="rename them",
        )
    if not table.rows:
        raise DataError(f"{place}: no rows", path=str(place), hint="it has to hold some data")
