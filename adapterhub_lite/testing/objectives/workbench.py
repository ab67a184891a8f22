"""An objective at work on a tiny model: fitted and saved once for all checks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import torch

from adapterhub_lite.protocols import Attached, LoadedBase, Outcome, Scorer, TrainingData
from adapterhub_lite.specs import Family, Head, ObjectiveSpec
from adapterhub_lite.testing.models import MODELS, base_folder
from adapterhub_lite.testing.outcomes import NotApplicableError
from adapterhub_lite.testing.rows import rows_of
from adapterhub_lite.testing.sharing import made_once, needed
from adapterhub_lite.testing.subject import Subject
from adapterhub_lite.transformer import load_transformer, quiet_transformers

SEED: Final = 1
RATE: Final = 5e-3


@dataclass
class Listening:
    """A run that keeps the losses it is told, by stage."""

    folder: Path
    seed: int = SEED
    resume: bool = False
    losses: dict[str, list[float]] = field(default_factory=dict)

    def emit(self, event: str, **fields: Any) -> None:
        """Take note of nothing."""

    def step(self, stage: str, done: int, total: int, **figures: float) -> None:
        """Keep the loss."""
        if "loss" in figures:
            self.losses.setdefault(stage, []).append(figures["loss"])


@dataclass(frozen=True)
class Fit:
    """What an objective made of a tiny model."""

    family: Family
    attached: Attached
    outcome: Outcome
    run: Listening


@dataclass(frozen=True)
class SavedFit:
    """A fitted model's folder: what transformers writes, and what the objective adds."""

    fit: Fit
    folder: Path


def spec_of(subject: Subject) -> ObjectiveSpec:
    """Return the objective's spec."""
    return cast("ObjectiveSpec", subject.offer.spec)


def families_of(subject: Subject) -> list[Family]:
    """Return the families that it trains, one alone when the check is a quick one."""
    found = [family for family in MODELS if family in spec_of(subject).families]
    if not found:
        raise NotApplicableError("its spec declares no family")
    return found[:1] if subject.quick else found


def head_of(subject: Subject) -> Head:
    """Return the head that it wants for good rows."""
    found: Head = subject.implementation.head(rows_of(spec_of(subject).rows), subject.settled)
    return found


def load_base(subject: Subject, family: Family, folder: Path | None = None) -> LoadedBase:
    """Load the tiny model with the head that the objective wants."""
    torch.manual_seed(SEED)
    head = needed(head_of, "check_head_suits_the_rows", subject)
    found = folder or base_folder(subject, family)
    return load_transformer(found, head, torch.float32, "cpu")


def attach_whole(base: LoadedBase, *, without: str = "") -> Attached:
    """Let the whole model learn; ``without`` are parts of names that do not."""
    for name, value in base.model.named_parameters():
        value.requires_grad_(not without or without not in name)
    names = frozenset(n for n, v in base.model.named_parameters() if v.requires_grad)
    return Attached(base.model, base.tokenizer, base.path, names, base.head, RATE)


def fit(subject: Subject, family: Family, attached: Attached, folder: Path) -> Fit:
    """Fit an attached model to the good rows."""
    folder.mkdir(parents=True, exist_ok=True)
    run = Listening(folder)
    data = TrainingData(rows_of(spec_of(subject).rows))
    torch.manual_seed(SEED)
    outcome = subject.implementation.fit(attached, data, subject.settled, run)
    return Fit(family, attached, outcome, run)


def fitted(subject: Subject, family: Family) -> Fit:
    """Return the objective fitted to a family's tiny model, made once."""

    def make() -> Fit:
        name = f"run-{subject.offer.spec.name}-{family}"
        attached = attach_whole(load_base(subject, family))
        return fit(subject, family, attached, subject.shared / name)

    return made_once(subject, ("fitted", family), make)


def saved(subject: Subject, family: Family) -> SavedFit:
    """Return its folder, written once."""

    def make() -> SavedFit:
        found = needed(fitted, "check_fits", subject, family)
        folder = subject.shared / f"saved-{subject.offer.spec.name}-{family}"
        model: Any = found.attached.model
        with quiet_transformers():
            model.save_pretrained(folder)
            found.attached.tokenizer.save_pretrained(folder)
        subject.implementation.save(found.outcome, folder)
        return SavedFit(found, folder)

    return made_once(subject, ("saved", family), make)


def reloaded(subject: Subject, saved_fit: SavedFit) -> Scorer:
    """Load what was saved into fresh objects."""
    family, folder = saved_fit.fit.family, saved_fit.folder
    scorer: Scorer = subject.implementation.load(load_base(subject, family, folder), folder)
    return scorer


def first_fit(subject: Subject) -> Fit:
    """Return the objective fitted to the first family's tiny model."""
    return needed(fitted, "check_fits", subject, families_of(subject)[0])


def weights(attached: Attached) -> Mapping[str, torch.Tensor]:
    """Return a copy of every parameter."""
    return {n: v.detach().clone() for n, v in attached.model.named_parameters()}
