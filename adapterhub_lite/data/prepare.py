"""From a recipe's ``data:`` section to rows that can be trained and tested on."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.checks import check
from adapterhub_lite.data.clean import UNUSABLE, clean
from adapterhub_lite.data.columns import Columns, find_columns
from adapterhub_lite.data.hashing import fingerprint
from adapterhub_lite.data.labels import text_set
from adapterhub_lite.data.reading import read_table
from adapterhub_lite.data.report import DataReport
from adapterhub_lite.data.shots import require_shots
from adapterhub_lite.data.splits import split
from adapterhub_lite.data.table import Table, TextSet
from adapterhub_lite.errors import DataError
from adapterhub_lite.recipes.data import DataSection

HOLDOUT_SEED: Final = 0
"""The seed of the holdout: one for all runs, so that their scores are about the same rows."""


@dataclass(frozen=True, slots=True)
class LoadedData:
    """Rows as they stand in the files, and what was decided while reading them."""

    train: TextSet
    test: TextSet | None
    columns: Columns
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PreparedData:
    """Rows to train and test on, and what became of the others.

    ``removed`` maps "train" and "test" to how many rows went by flaw, ``fingerprints`` to
    :func:`~adapterhub_lite.data.hashing.fingerprint` of what is left. ``test_from`` says whether
    test rows are a file of their own or were held out of the training rows.
    """

    train: TextSet
    test: TextSet | None
    test_from: Literal["file", "holdout"] | None
    columns: Columns
    notes: tuple[str, ...]
    report: DataReport
    removed: Mapping[str, Mapping[str, int]]
    fingerprints: Mapping[str, str]


def load(section: DataSection, catalogue: Catalogue) -> LoadedData:
    """Read the files of a section; test rows are read from the same columns as training rows."""
    table = read_table(section.train, catalogue, reader=section.format, encoding=section.encoding)
    columns = find_columns(table, section.text, section.label)
    train = _rows(table, columns, section)
    if section.test is None:
        return LoadedData(train, None, columns, table.notes)
    other = read_table(section.test, catalogue, reader=section.format, encoding=section.encoding)
    same = find_columns(other, columns.text, columns.label)
    return LoadedData(train, _rows(other, same, section), columns, table.notes + other.notes)


def prepare(
    section: DataSection, catalogue: Catalogue, *, holdout_seed: int = HOLDOUT_SEED
) -> PreparedData:
    """Read, check and clean the rows of a section, and hold test rows out if it says so.

    Shots are not drawn here, because each run draws its own; but there have to be enough rows for
    them. Raises DataError when rows cannot be read or trained on.
    """
    loaded = load(section, catalogue)
    report = check(loaded.train, loaded.test, near_duplicate=section.near_duplicate)
    _require_trainable(report, section)
    cleaned = clean(loaded.train)
    train, test, removed = cleaned.rows, None, {"train": cleaned.removed}
    if loaded.test is not None:
        scored = clean(loaded.test, UNUSABLE)
        test, removed["test"] = scored.rows, scored.removed
    elif section.holdout is not None:
        train, test = split(train, section.holdout, holdout_seed, section.near_duplicate)
    if section.shots is not None:
        require_shots(train, section.shots)
    sets = {"train": train} if test is None else {"train": train, "test": test}
    return PreparedData(
        train=train,
        test=test,
        test_from=None if test is None else "file" if loaded.test is not None else "holdout",
        columns=loaded.columns,
        notes=loaded.notes,
        report=report,
        removed=removed,
        fingerprints={name: fingerprint(rows) for name, rows in sets.items()},
    )


def _rows(table: Table, columns: Columns, section: DataSection) -> TextSet:
    return text_set(
        table, columns, multi_label=section.multi_label, separator=section.label_separator
    )


def check_command(section: DataSection) -> str:
    """Return the command line that shows what the checks found."""
    test = ["--test", section.test] if section.test else []
    return shlex.join(["ahl", "data", "check", section.train, *test])


def _require_trainable(report: DataReport, section: DataSection) -> None:
    if report.trainable:
        return
    first = report.errors[0]
    path = section.train if first.where == "train" else section.test or ""
    problems = "; ".join(f"{finding.reason}: {finding.detail}" for finding in report.errors)
    raise DataError(f"{path}: {problems}", path=path, hint=f"see: {check_command(section)}")
