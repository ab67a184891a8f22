"""The capabilities that a spec declares: identity at first, baking, checkpointing, few bits."""

from pathlib import Path
from typing import Any, Final

import torch

from adapterhub_lite.errors import CapabilityError, MissingDependencyError
from adapterhub_lite.finetuning.memory import training_mode
from adapterhub_lite.finetuning.params import TrainerParams
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.specs import LoaderSpec
from adapterhub_lite.testing.methods.workbench import (
    SEED,
    attach_again,
    attached_work,
    first_place,
    open_places,
    require,
    settled,
    sound_save,
    spec_of,
)
from adapterhub_lite.testing.models import (
    Place,
    batch_of,
    distance,
    fresh_base,
    loss_of,
    outputs,
    resolved_base,
)
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.sharing import needed
from adapterhub_lite.testing.subject import Subject

IDENTICAL: Final = 1e-5
EXACT: Final = 1e-4
"""Largest differences of answers, relative to the largest of them."""


def check_starts_as_the_base(subject: Subject) -> None:
    """Declaring identity-at-init, it changes no answer until a step is taken.

    Start one factor of what is added at zero, or take the capability out of the spec.
    """
    require(subject, "identity-at-init")
    for place in open_places(subject):
        work = needed(attached_work, "check_attaches", subject, place)
        off = distance(outputs(work.attached.model, work.batch), work.plain)
        if off > IDENTICAL:
            raise CheckFailedError(
                f"on {place} answers before the first step differ by {off:.2g} of the largest"
            )


def check_bake_is_exact(subject: Subject) -> None:
    """Declaring bake, a plain model comes out that answers as the adapter does.

    It is of the base's class with the base's tensors, so that it can be saved without the method.
    Where this cannot be of some bases or settings, bake() raises CapabilityError, but not for all.
    """
    require(subject, "bake")
    refused, found = [], open_places(subject)
    for place in found:
        saved = needed(sound_save, "check_saves_and_loads", subject, place)
        base = fresh_base(subject, place)
        plain, names = type(base.model), set(base.model.state_dict())
        try:
            baked = subject.implementation.bake(base, saved.folder).model
        except CapabilityError as error:
            refused.append(f"on {place}: {error.message}")
            continue
        if type(baked) is not plain or set(baked.state_dict()) != names:
            raise CheckFailedError(
                f"on {place} what comes out is a {type(baked).__name__} with "
                f"{len(baked.state_dict())} tensors, not a {plain.__name__} with {len(names)}"
            )
        off = distance(outputs(baked, saved.trained.work.batch), saved.trained.answered)
        if off > EXACT:
            raise CheckFailedError(
                f"on {place} the baked model's answers differ by {off:.2g} of the largest, more "
                f"than {EXACT:g}"
            )
    if len(refused) == len(found):
        raise CheckFailedError(f"bake() refuses everywhere; {refused[0]}")


def check_bake_is_refused(subject: Subject) -> None:
    """Not declaring bake, bake() raises CapabilityError.

    It says why the adapter cannot become part of the base; a model that answers otherwise is worse.
    """
    if "bake" in spec_of(subject).capabilities:
        raise NotApplicableError("it declares bake")
    place = first_place(subject)
    saved = needed(sound_save, "check_saves_and_loads", subject, place)
    try:
        subject.implementation.bake(fresh_base(subject, place), saved.folder)
    except CapabilityError:
        return
    except Exception as error:
        raise CheckFailedError(f"bake() raises {type(error).__name__}: {error}") from error
    raise CheckFailedError("bake() returns a model, and the spec does not declare bake")


def check_checkpointing_gives_the_same_gradients(subject: Subject) -> None:
    """Declaring gradient-checkpointing, gradients are the same with it as without.

    Layers are then run a second time going back: what they draw or count must not differ.
    """
    require(subject, "gradient-checkpointing")
    place = first_place(subject)
    without, there = (_gradients(subject, place, on) for on in (False, True))
    for name, expected in without.items():
        off = distance(there[name], expected) if name in there else float("inf")
        if off > EXACT:
            raise CheckFailedError(f"on {place} the gradient of {name!r} differs by {off:.2g}")


def check_trains_on_quantised(subject: Subject) -> None:
    """Declaring quantised-base, it learns on bases in few bits, and comes back onto them.

    They are loaded by the installed loaders that quantise. Adapt the layers that these put in,
    without asking for their weights as floats; for a loader that cannot be, attach() raises
    CapabilityError, but not for all of them.
    """
    require(subject, "quantised-base")
    place = first_place(subject)
    needed(attached_work, "check_attaches", subject, place)
    refused, loaders = [], _quantising(subject)
    for number, loader in enumerate(loaders):
        try:
            _train_in_few_bits(subject, place, loader, subject.folder / str(number))
        except CapabilityError as error:
            refused.append(f"{loader.name}: {error.message}")
            continue
        if subject.quick:
            return
    if len(refused) == len(loaders):
        raise CheckFailedError(f"refused on every quantised base: {refused[0]}")


def _gradients(subject: Subject, place: Place, checkpointing: bool) -> dict[str, torch.Tensor]:
    work = attach_again(subject, place)
    model: Any = work.attached.model
    torch.manual_seed(SEED)
    with training_mode(model, TrainerParams(gradient_checkpointing=checkpointing)):
        loss_of(model, work.batch).backward()  # type: ignore[no-untyped-call]
        return {n: v.grad for n, v in model.named_parameters() if v.grad is not None}


def _few_steps(attached: Any, batch: Any) -> tuple[float, float]:
    learning = [v for n, v in attached.model.named_parameters() if n in attached.trainable]
    optimiser = torch.optim.AdamW(learning, lr=1e-2, weight_decay=0.0)
    attached.model.eval()
    losses = []
    if attached.on_start:
        attached.on_start(3)
    for step in range(1, 4):
        loss = loss_of(attached.model, batch)
        losses.append(float(loss.detach()))
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if attached.on_step:
            attached.on_step(step)
        optimiser.zero_grad()
    with torch.no_grad():
        return losses[0], float(loss_of(attached.model, batch))


def _train_in_few_bits(subject: Subject, place: Place, loader: LoaderSpec, folder: Path) -> None:
    base = _load(subject, loader, place)
    batch = batch_of(base)
    torch.manual_seed(SEED)
    attached = subject.implementation.attach(base, settled(subject, place))
    where = f"{place}, loaded by {loader.name}"
    first, last = _few_steps(attached, batch)
    if not last < first:
        raise CheckFailedError(f"on {where}, the loss was {first:.4g} and is {last:.4g}")
    expected = outputs(attached.model, batch)
    subject.implementation.save(attached, folder)
    loaded = subject.implementation.load(_load(subject, loader, place), folder)
    off = distance(outputs(loaded.model, batch), expected)
    if off > EXACT:
        raise CheckFailedError(f"reloaded on {where}, answers differ by {off:.2g} of the largest")


def _quantising(subject: Subject) -> list[LoaderSpec]:
    """Return the quantising loaders whose libraries are installed."""
    found, why = [], "no installed loader quantises"
    for offer in subject.catalogue.usable("loader"):
        if not isinstance(offer.spec, LoaderSpec) or not offer.spec.quantised:
            continue
        try:
            subject.catalogue.implementation(offer.spec)
            found.append(offer.spec)
        except MissingDependencyError as error:
            why = f"{error.message}; {error.hint}"
    if not found:
        raise NotApplicableError(why)
    return found


def _load(subject: Subject, loader: LoaderSpec, place: Place) -> LoadedBase:
    torch.manual_seed(0)
    base = resolved_base(subject, place.family)
    loaded: LoadedBase = subject.catalogue.implementation(loader).load(
        base, place.head, loader.params(), "cpu"
    )
    return loaded


CHECKS: Final = (
    check_starts_as_the_base,
    check_bake_is_exact,
    check_bake_is_refused,
    check_checkpointing_gives_the_same_gradients,
    check_trains_on_quantised,
)
