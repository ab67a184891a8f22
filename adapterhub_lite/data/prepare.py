"""From a recipe's ``data:`` section to rows that can be trained and tested on."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.checks import check, check_balance_again
from adapterhub_lite.data.clean import UNUSABLE, clean
from adapterhub_lite.data.hashing import fingerprint
from adapterhub_lite.data.kinds import FoundColumns
from adapterhub_lite.data.loading import LoadedData, load
from adapterhub_lite.data.replay import draw_replay
from adapterhub_lite.data.report import DataReport
from adapterhub_lite.data.rowsets import concatenate
from adapterhub_lite.data.shots import require_shots
from adapterhub_lite.data.splits import split_indices
from adapterhub_lite.data.table import RowSet, TextSet
from adapterhub_lite.errors import DataError
from adapterhub_lite.recipes.data import REPLAY, DataSection
from adapterhub_lite.specs import RowKind

__all__ = ["LoadedData", "PreparedData", "check_command", "check_loaded", "load", "prepare"]

HOLDOUT_SEED: Final = 0
"""The seed of the holdout: one for all runs, so that their scores are about the same rows."""


@dataclass(frozen=True, slots=True)
class PreparedData:
    """Rows to train, validate and test on, and what became of the others.

    ``removed`` maps "train", "validation", "test" and "replay" to how many rows went by flaw,
    ``fingerprints`` to :func:`~adapterhub_lite.data.hashing.fingerprint` of what is left.
    ``test_from`` says whether test rows are files of their own or were held out of the training
    rows. ``sources`` names the file of each training row, and ``tests`` has the test rows of each,
    where there are several; rows of a replay come last.
    """

    train: RowSet
    test: RowSet | None
    test_from: Literal["file", "holdout"] | None
    columns: FoundColumns
    notes: tuple[str, ...]
    report: DataReport
    removed: Mapping[str, Mapping[str, int]]
    fingerprints: Mapping[str, str]
    validation: RowSet | None = None
    sources: tuple[str, ...] = ()
    tests: Mapping[str, RowSet] = field(default_factory=dict)


@dataclass(slots=True)
class _Sets:
    """Rows on their way; ``sources`` and ``test_sources`` are empty where there is one file."""

    train: RowSet
    sources: tuple[str, ...]
    test: RowSet | None
    test_sources: tuple[str, ...]
    validation: RowSet | None
    removed: dict[str, Mapping[str, int]]

    def hold_out(
        self, share: float, seed: int, near_duplicate: float
    ) -> tuple[RowSet, tuple[str, ...]]:
        """Take rows out of the training rows; return them and their sources."""
        left, held = split_indices(self.train, share, seed, near_duplicate, self.sources)
        rows, sources = self.train.select(held), _at(self.sources, held)
        self.train, self.sources = self.train.select(left), _at(self.sources, left)
        return rows, sources

    def named(self) -> dict[str, RowSet]:
        """Return the sets that there are."""
        sets = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: rows for name, rows in sets.items() if rows is not None}

    def tests(self) -> dict[str, RowSet]:
        """Return the test rows of each source, where there are several."""
        if self.test is None:
            return {}
        places: dict[str, list[int]] = {}
        for index, name in enumerate(self.test_sources):
            places.setdefault(name, []).append(index)
        return {name: self.test.select(indices) for name, indices in places.items()}


def prepare(
    section: DataSection,
    catalogue: Catalogue,
    *,
    rows: RowKind = "labelled-text",
    pairs: bool = False,
    holdout_seed: int = HOLDOUT_SEED,
) -> PreparedData:
    """Read, check and clean the rows of a section, and hold rows out if it says so.

    ``rows`` is what a row is, ``pairs`` whether it may have a second text. Test rows are held out
    first, validation rows of what is left. Shots are not drawn here, because each run draws its
    own; but there have to be enough rows for them. Raises DataError when rows cannot be read or
    trained on, RecipeError for a key that means nothing to such rows.
    """
    loaded = load(section, catalogue, rows=rows, pairs=pairs)
    report = check_loaded(loaded, section.near_duplicate)
    _require_trainable(report, section, rows)
    sets = _clean(loaded)
    near = section.near_duplicate
    if section.holdout is not None:
        sets.test, sets.test_sources = sets.hold_out(section.holdout, holdout_seed, near)
    if section.validation_split is not None:
        sets.validation, _ = sets.hold_out(section.validation_split, holdout_seed, near)
    if section.shots is not None:
        assert isinstance(sets.train, TextSet), "keys that do not fit the rows are refused"
        require_shots(sets.train, section.shots)
    report = check_balance_again(report, sets.train)
    if loaded.replay is not None:
        _add_replay(sets, loaded.replay, section, holdout_seed)
    return PreparedData(
        train=sets.train,
        test=sets.test,
        test_from=None if sets.test is None else "file" if section.test else "holdout",
        columns=loaded.columns,
        notes=loaded.notes,
        report=report,
        removed=sets.removed,
        fingerprints={name: fingerprint(found) for name, found in sets.named().items()},
        validation=sets.validation,
        sources=sets.sources,
        tests=sets.tests(),
    )


def check_loaded(loaded: LoadedData, near_duplicate: float) -> DataReport:
    """Check rows as they were loaded."""
    return check(
        loaded.train,
        loaded.test,
        validation=loaded.validation,
        near_duplicate=near_duplicate,
        sources=loaded.sources,
        test_sources=loaded.test_sources,
        replayed=loaded.replay.classes if loaded.replay is not None else (),
    )


def _clean(loaded: LoadedData) -> _Sets:
    train = clean(loaded.train)
    sets = _Sets(
        train=train.rows,
        sources=_at(loaded.sources, train.kept),
        test=None,
        test_sources=(),
        validation=None,
        removed={"train": train.removed},
    )
    if loaded.validation is not None:
        validated = clean(loaded.validation, UNUSABLE)
        sets.validation, sets.removed["validation"] = validated.rows, validated.removed
    if loaded.test is not None:
        scored = clean(loaded.test, UNUSABLE)
        sets.test, sets.removed["test"] = scored.rows, scored.removed
        sets.test_sources = _at(loaded.test_sources, scored.kept)
    return sets


def _add_replay(sets: _Sets, replay: RowSet, section: DataSection, seed: int) -> None:
    held = [rows for rows in (sets.validation, sets.test) if rows is not None]
    drawn = draw_replay(
        replay, section.replay_share, sets.train, held, section.near_duplicate, seed
    )
    sets.train = concatenate([sets.train, drawn.rows])
    sets.sources += (REPLAY,) * len(drawn.rows)
    sets.removed["replay"] = drawn.removed


def _at(names: tuple[str, ...], indices: Iterable[int]) -> tuple[str, ...]:
    return tuple(names[index] for index in indices) if names else ()


def check_command(section: DataSection, rows: RowKind = "labelled-text") -> str:
    """Return the command line that shows what the checks found."""
    label = section.label
    labels = [label] if isinstance(label, str) else label or []
    options: list[tuple[str, str | None]] = [
        ("--rows", None if rows == "labelled-text" else rows),
        *(("--test", file) for file in section.test_files.values()),
        ("--validation", section.validation),
        ("--text", section.text),
        ("--text2", section.text2),
        *(("--label", name) for name in labels),
        *(("--column", f"{role}={name}") for role, name in section.columns.items()),
        ("--form", section.form),
        ("--format", section.format),
        ("--encoding", None if section.encoding == "utf-8" else section.encoding),
        ("--label-separator", section.label_separator if section.multi_label else None),
    ]
    words = [word for name, value in options if value for word in (name, value)]
    flags = ["--multi-label"] if section.multi_label else []
    scale = ["--scale", *(f"{x:g}" for x in section.scale)] if section.scale else []
    files = section.training_files.values()
    return shlex.join(["ahl", "data", "check", *files, *words, *flags, *scale])


def _require_trainable(report: DataReport, section: DataSection, rows: RowKind) -> None:
    if report.trainable:
        return
    first = report.errors[0]
    files = {
        "train": next(iter(section.training_files.values())),
        "validation": section.validation or "",
        "test": next(iter(section.test_files.values()), ""),
    }
    path = files[first.where]
    problems = "; ".join(f"{finding.reason}: {finding.detail}" for finding in report.errors)
    hint = f"see: {check_command(section, rows)}"
    raise DataError(f"{path}: {problems}", path=path, hint=hint)
