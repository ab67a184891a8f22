"""Read the files of a ``data:`` section, all of them into rows of one kind."""

from collections.abc import Mapping
from dataclasses import dataclass

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.examples import Examples
from adapterhub_lite.data.kinds import FoundColumns, read_rows, require_fitting_keys
from adapterhub_lite.data.reading import read_table
from adapterhub_lite.data.rowsets import concatenate
from adapterhub_lite.data.table import RowSet, TextSet
from adapterhub_lite.errors import DataError
from adapterhub_lite.recipes.data import REPLAY, DataSection
from adapterhub_lite.specs import RowKind


@dataclass(frozen=True, slots=True)
class LoadedData:
    """Rows as they stand in the files, and what was decided while reading them.

    ``sources`` and ``test_sources`` name the file of each row; they are empty where there is one.
    ``columns`` are those of the first training file.
    """

    train: RowSet
    test: RowSet | None
    columns: FoundColumns
    notes: tuple[str, ...]
    validation: RowSet | None = None
    replay: RowSet | None = None
    sources: tuple[str, ...] = ()
    test_sources: tuple[str, ...] = ()


def load(
    section: DataSection,
    catalogue: Catalogue,
    *,
    rows: RowKind = "labelled-text",
    pairs: bool = False,
) -> LoadedData:
    """Read the files of a section as rows of a kind; with ``pairs`` a row may have two texts.

    Test rows are read from the columns of their training rows, validation rows from those of the
    first training file. Raises DataError when a file cannot be read, or files do not fit together;
    RecipeError for a key that means nothing to rows of the kind.
    """
    require_fitting_keys(section, rows, pairs=pairs)
    files = _Files(section, catalogue, rows, pairs)
    train = {name: files.read(file, extras=True) for name, file in section.training_files.items()}
    columns = {name: files.columns[file] for name, file in section.training_files.items()}
    first = next(iter(columns.values()))
    replay = None if section.replay is None else files.read(section.replay, extras=True)
    if section.replay is not None:
        columns[REPLAY] = files.columns[section.replay]
    test = {
        name: files.read(file, like=columns.get(name, first))
        for name, file in section.test_files.items()
    }
    held = section.validation
    validation = None if held is None else files.read(held, like=first)
    others = {REPLAY: replay} if replay is not None else {}
    _require_alike(train | others, section)
    several = len(train) > 1 or replay is not None
    return LoadedData(
        train=concatenate(list(train.values())),
        test=concatenate(list(test.values())) if test else None,
        columns=first,
        notes=tuple(files.notes),
        validation=validation,
        replay=replay,
        sources=_sources(train) if several else (),
        test_sources=_sources(test) if "" not in test else (),
    )


class _Files:
    """Reads files alike, and keeps the columns of each and what was noted about it."""

    def __init__(
        self, section: DataSection, catalogue: Catalogue, kind: RowKind, pairs: bool
    ) -> None:
        self.columns: dict[str, FoundColumns] = {}
        self.notes: list[str] = []
        self._section = section
        self._catalogue = catalogue
        self._kind = kind
        self._pairs = pairs

    def read(self, file: str, *, like: FoundColumns | None = None, extras: bool = False) -> RowSet:
        section = self._section
        table = read_table(file, self._catalogue, reader=section.format, encoding=section.encoding)
        rows, columns = read_rows(
            table, self._kind, section, pairs=self._pairs, like=like, extras=extras
        )
        if not len(rows):
            raise DataError(f"{file}: no rows", path=file, hint="it has to hold some data")
        self.columns[file] = columns
        self.notes += table.notes
        return rows


def _sources(sets: Mapping[str, RowSet]) -> tuple[str, ...]:
    return tuple(name for name, rows in sets.items() for _ in range(len(rows)))


def _require_alike(sets: Mapping[str, RowSet], section: DataSection) -> None:
    """Raise DataError where rows of one file could not stand beside those of another."""
    shapes = {name: _shape(rows) for name, rows in sets.items()}
    first, *others = shapes
    for name in others:
        if shapes[name] != shapes[first]:
            path = section.training_files.get(name, section.replay or "")
            raise DataError(
                f"{path}: rows with {shapes[name]}, and {first!r} has rows with {shapes[first]}",
                path=path,
                hint="files that are trained on together hold rows of one form",
            )


def _shape(rows: RowSet) -> str:
    """Return what has to be alike in rows of one kind from several files."""
    if isinstance(rows, TextSet):
        texts = "two texts" if rows.seconds else "one text"
        return f"{texts} and {'several labels' if rows.multi_label else 'one label'}"
    assert isinstance(rows, Examples), "rows are labelled texts or examples"
    held = [
        f"{'a' if getattr(rows.items[0], name) is not None else 'no'} {what}"
        for name, what in (("second", "second text"), ("value", "value"))
        if hasattr(rows.items[0], name)
    ]
    return " and ".join(held)
