"""What a strategy is held to that computes with rows of data, on two tiny trained classifiers."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from adapterhub_lite import api
from adapterhub_lite.streaming.sources import FolderSource
from adapterhub_lite.testing.merge_checks.bench import State, differs, require_equal, spec_of
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.sharing import made_once, needed
from adapterhub_lite.testing.subject import Subject
from adapterhub_lite.testing.tiny import TINY_ROWS, write_tiny_model

NAMES: Final = ("one", "two")
FEW: Final = 6
"""How many of the rows the checks merge with, so that all of them are used."""


def check_merges_with_data(subject: Subject) -> None:
    """Two classifiers and rows of theirs become one model, of finite numbers.

    ``prepare_with_data`` gets a subject for each model; load it with ``subject.load(tensors)``.
    """
    for name, value in _merged_once(subject).items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise CheckFailedError(f"the result is not finite, in {name}")


def check_repeats_with_data(subject: Subject) -> None:
    """The same seed and rows give the same bits.

    Draw from a generator that is seeded with the tensors' ``seed``, not from torch's global one.
    """
    first = needed(_merged_once, check_merges_with_data.__name__, subject)
    require_equal(_merged(subject, TINY_ROWS[:FEW]), first, "two merges with the same seed differ")


def check_data_is_used(subject: Subject) -> None:
    """Other rows give another result.

    Take "needs-data" away where the rows make no difference: nobody should have to give them.
    """
    first = needed(_merged_once, check_merges_with_data.__name__, subject)
    if not differs(_merged(subject, TINY_ROWS[FEW : 2 * FEW]), first):
        raise CheckFailedError("other rows give the same result, to the bit")


def _merged_once(subject: Subject) -> State:
    spec = spec_of(subject)
    if "needs-data" not in spec.capabilities:
        raise NotApplicableError("it does not compute with data")
    return made_once(subject, "merged with data", lambda: _merged(subject, TINY_ROWS[:FEW]))


def _merged(subject: Subject, rows: Sequence[tuple[str, str]]) -> State:
    """Merge by a recipe, as a person does, and return the tensors."""
    _train_once(subject)
    registry = api.open_registry(subject.shared / "registry")
    data = {"train": str(_write_rows(subject.folder / "rows.csv", rows))}
    recipe: dict[str, Any] = {
        "strategy": {"name": spec_of(subject).name, **subject.params},
        "models": [{"ref": name, "data": data} for name in NAMES],
        "heads": "omit",
    }
    if spec_of(subject).base == "needed":
        recipe["base"] = str(subject.shared / "base")
    out = subject.folder / f"merged-{len(list(subject.folder.iterdir()))}"
    api.merge(recipe, out=out, registry=registry, catalogue=subject.catalogue, threads=1)
    source = FolderSource(out, "the merged model")
    return {name: torch.clone(source.raw(name)) for name in source.tensors}


def _train_once(subject: Subject) -> None:
    """Train two classifiers from one base into a registry, where that was not done yet."""
    base = subject.shared / "base"
    if base.exists():
        return
    write_tiny_model(base)
    rows = _write_rows(subject.shared / "rows.csv", TINY_ROWS)
    for seed, name in enumerate(NAMES):
        recipe = {
            "base": str(base),
            "method": "full",
            "objective": {"name": "classification", "max_steps": 2, "learning_rate": 0.01},
            "data": {"train": str(rows)},
            "seed": seed,
            "publish": name,
        }
        registry = api.open_registry(subject.shared / "registry")
        api.train(recipe, registry=registry, catalogue=subject.catalogue)


def _write_rows(file: Path, rows: Sequence[tuple[str, str]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("text", "label"), *rows])
    return file


CHECKS: Final = (check_merges_with_data, check_repeats_with_data, check_data_is_used)
