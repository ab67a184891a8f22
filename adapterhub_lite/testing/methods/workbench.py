"""A method at work on tiny models: attached, trained and saved once for all checks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import torch

from adapterhub_lite.protocols import Attached, LoadedBase
from adapterhub_lite.specs import Adapter, Capability, MethodSpec, Params
from adapterhub_lite.testing.models import (
    Place,
    architecture,
    batch_of,
    distance,
    fresh_base,
    loss_of,
    outputs,
    places,
)
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.sharing import made_once, needed
from adapterhub_lite.testing.subject import Subject

STEPS: Final = 8
RATE: Final = 1e-2
"""The least learning rate; a tiny model moves by more than a method's own rate."""
SEED: Final = 1
SPREAD: Final = 0.05
"""The standard deviation of what is added to weights where nothing is trained."""
SAME: Final = 1e-5
"""Largest difference of answers that are the same, relative to the largest of them."""

Snapshot = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Work:
    """A method attached to a fresh base.

    ``loaded`` are copies of the base's parameters, by name, before the method was attached, of
    which those of ``learning_in_place`` learn themselves. ``plain`` is what the base answered,
    ``state`` every parameter of the model with the method.
    """

    place: Place
    base: LoadedBase
    attached: Attached
    batch: Mapping[str, torch.Tensor]
    loaded: Snapshot
    learning_in_place: frozenset[str]
    plain: torch.Tensor
    state: Snapshot


@dataclass(frozen=True)
class Trained:
    """What became of it in a few steps: the loss of each, and what it answers now."""

    work: Work
    losses: Sequence[float]
    answered: torch.Tensor
    state: Snapshot


@dataclass(frozen=True)
class Saved:
    """A trained method's files."""

    trained: Trained
    folder: Path


def spec_of(subject: Subject) -> MethodSpec:
    """Return the method's spec."""
    return cast("MethodSpec", subject.offer.spec)


def require(subject: Subject, capability: Capability) -> None:
    """Raise NotApplicableError where the method does not declare a capability."""
    if capability not in spec_of(subject).capabilities:
        raise NotApplicableError(f"it does not declare {capability}")


def settled(subject: Subject, place: Place) -> Params:
    """Return the parameters under check; adapters that they name are made for the place's base."""
    made = {name: _adapter(subject, name, place) for name in subject.adapters}
    return subject.settled.with_adapters(lambda named: made[named.ref])


def refusals(subject: Subject, place: Place) -> list[str]:
    """Return what the method itself says against a place."""

    def ask() -> list[str]:
        found = architecture(subject, place.family)
        return list(subject.implementation.check(found, place.head, settled(subject, place)))

    return made_once(subject, ("refusals", place), ask)


def declared_places(subject: Subject) -> list[Place]:
    """Return every place that the spec declares; raises NotApplicableError when there is none."""
    spec = spec_of(subject)
    found = list(places(spec.families, spec.heads))
    if not found:
        why = next(iter(spec.refusals.values()), "its spec declares no head")
        raise NotApplicableError(f"it cannot be attached: {why}")
    return found


def open_places(subject: Subject) -> list[Place]:
    """Return one place of each family: the first that the method does not refuse."""
    found: dict[str, Place] = {}
    for place in declared_places(subject):
        if place.family not in found and not _refused(subject, place):
            found[place.family] = place
            if subject.quick:
                break
    if not found:
        raise NotApplicableError("check() refuses every place that the spec declares")
    return list(found.values())


def first_place(subject: Subject) -> Place:
    """Return the first place that the method does not refuse."""
    return open_places(subject)[0]


def attach(subject: Subject, place: Place) -> Work:
    """Attach the method to a fresh base, with the kit's seed."""
    base = fresh_base(subject, place)
    batch = batch_of(base)
    plain = outputs(base.model, batch)
    originals = dict(base.model.named_parameters())
    loaded = {name: value.detach().clone() for name, value in originals.items()}
    torch.manual_seed(SEED)
    attached = subject.implementation.attach(base, settled(subject, place))
    learning = {id(v) for n, v in attached.model.named_parameters() if n in attached.trainable}
    in_place = frozenset(name for name, value in originals.items() if id(value) in learning)
    return Work(place, base, attached, batch, loaded, in_place, plain, snapshot(attached.model))


def train(work: Work, rate: float) -> Trained:
    """Take a few steps with AdamW on one batch, as the training loop does."""
    attached = work.attached
    attached.model.eval()
    learning = [v for n, v in attached.model.named_parameters() if n in attached.trainable]
    optimiser = torch.optim.AdamW(learning, lr=rate, weight_decay=0.0)
    torch.manual_seed(SEED)
    losses = []
    if attached.on_start:
        attached.on_start(STEPS)
    for step in range(STEPS):
        loss = loss_of(attached.model, work.batch)
        losses.append(float(loss.detach()))
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if attached.on_step:
            attached.on_step(step + 1)
        optimiser.zero_grad()
    with torch.no_grad():
        losses.append(float(loss_of(attached.model, work.batch)))
    answered = outputs(attached.model, work.batch)
    return Trained(work, losses, answered, snapshot(attached.model))


def attached_work(subject: Subject, place: Place) -> Work:
    """Return the method attached and left untrained, made once."""
    return made_once(subject, ("attached", place), lambda: attach(subject, place))


def attach_again(subject: Subject, place: Place) -> Work:
    """Return the method attached anew, once it is seen that it can be."""
    needed(attached_work, "check_attaches", subject, place)
    return attach(subject, place)


def trained_work(subject: Subject, place: Place) -> Trained:
    """Return the method trained, made once."""

    def make() -> Trained:
        work = attach_again(subject, place)
        return train(work, max(RATE, spec_of(subject).learning_rate))

    return made_once(subject, ("trained", place), make)


def saved_work(subject: Subject, place: Place) -> Saved:
    """Return the trained method's files, written once."""

    def make() -> Saved:
        trained = needed(trained_work, "check_loss_falls", subject, place)
        name = f"{subject.offer.kind}-{subject.offer.spec.name}-{place.family}-{place.kind}"
        folder = subject.shared / "saved" / name
        folder.mkdir(parents=True)
        subject.implementation.save(trained.work.attached, folder)
        return Saved(trained, folder)

    return made_once(subject, ("saved", place), make)


def sound_save(subject: Subject, place: Place) -> Saved:
    """Return the trained method's files, once it is seen that they come back."""

    def make() -> Saved:
        saved = saved_work(subject, place)
        _require_same_answers(subject, saved)
        return saved

    return made_once(subject, ("sound", place), make)


def snapshot(model: Any) -> Snapshot:
    """Return a copy of every parameter by name."""
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def settings(subject: Subject) -> str:
    """Return the parameters under check as a line of JSON, for messages."""
    return json.dumps(dict(subject.params)) if subject.params else "its defaults"


def _adapter(subject: Subject, name: str, place: Place) -> Adapter:
    """Return an adapter of random numbers, written the first time by the case's method for it."""
    part = dict(subject.adapters[name])
    spec = subject.catalogue.method(part.pop("name"))
    of = f"{subject.offer.spec.name}-{place.family}-{place.kind}"
    folder = subject.shared / "adapters" / of / name
    if not folder.exists():
        folder.mkdir(parents=True)
        _draw(subject, spec, spec.params.model_validate(part), place, folder)
    return Adapter(name, folder, method=spec.name)


def _draw(subject: Subject, spec: MethodSpec, params: Params, place: Place, folder: Path) -> None:
    method = subject.catalogue.implementation(spec)
    base = fresh_base(subject, place)
    torch.manual_seed(sum(folder.name.encode()))
    attached = method.attach(base, params)
    for value in attached.model.parameters():
        if value.requires_grad:
            value.data += SPREAD * torch.randn(value.shape)
    method.save(attached, folder)


def _refused(subject: Subject, place: Place) -> bool:
    return bool(needed(refusals, "check_refusals_are_told_before", subject, place))


def _require_same_answers(subject: Subject, saved: Saved) -> None:
    """Load what was saved into fresh objects, onto a fresh base, and ask it the same."""
    place = saved.trained.work.place
    whole = None if spec_of(subject).needs_base else saved.folder
    base = fresh_base(subject, place, whole)
    loaded: LoadedBase = subject.implementation.load(base, saved.folder)
    if loaded.model.training:
        raise CheckFailedError(f"on {place} load() returns a model in training mode")
    off = distance(outputs(loaded.model, saved.trained.work.batch), saved.trained.answered)
    if off > SAME:
        raise CheckFailedError(
            f"on {place} the reloaded model's answers differ by {off:.2g} of the largest, more "
            f"than {SAME:g}"
        )
