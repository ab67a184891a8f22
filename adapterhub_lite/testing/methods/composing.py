"""Several adapters on one base: side by side, row by row, and none."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import torch

from adapterhub_lite.heads import NEW_LAYERS
from adapterhub_lite.testing.methods.workbench import (
    SAME,
    SEED,
    Saved,
    attach_again,
    declared_places,
    first_place,
    refusals,
    require,
    sound_save,
    trained_work,
)
from adapterhub_lite.testing.models import Place, distance, fresh_base, outputs
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.sharing import needed
from adapterhub_lite.testing.subject import Subject

ADAPTERS: Final = ("default", "other")
AVERAGED: Final = 1e-4
"""Largest difference of answers of the same average, relative to the largest of them."""


def check_can_be_switched_off(subject: Subject) -> None:
    """Declaring disable, a trained model without its adapter answers as the base, to the bit.

    The attached model has ``disable_adapter()``, as PEFT's models have: a context within which its
    forward pass is the base's, with the layers of the head that the base was loaded with.
    """
    require(subject, "disable")
    place = first_place(subject)
    work = needed(trained_work, "check_loss_falls", subject, place).work
    model: Any = work.attached.model
    if not hasattr(model, "disable_adapter"):
        raise CheckFailedError("the attached model has no disable_adapter()")
    with model.disable_adapter():
        found = outputs(model, work.batch)
    if not torch.equal(found, work.plain):
        raise CheckFailedError(
            f"on {place} answers without the adapter differ from the base's by "
            f"{distance(found, work.plain):.2g} of the largest"
        )


def check_several_can_be_active(subject: Subject) -> None:
    """Declaring several-active, a stack of adapters is put on one base, and each counts.

    A stack of one answers as that one, a stack of two otherwise than either: load_stack() keeps
    them apart, each in a place of its own, and leaves their files as they were.
    """
    require(subject, "several-active")
    place = first_place(subject)
    saved = needed(sound_save, "check_saves_and_loads", subject, place)
    alone = distance(_stacked(subject, saved, "first"), saved.trained.answered)
    if alone > SAME:
        raise CheckFailedError(f"on {place} a stack of one answers otherwise, by {alone:.2g}")
    two = _stacked(subject, saved, "first", "second")
    if distance(two, saved.trained.answered) < SAME:
        raise CheckFailedError(f"on {place} a second adapter in the stack changes nothing")
    last = _stacked(subject, saved, "second")
    if distance(two, last) < SAME:
        raise CheckFailedError(f"on {place} the first adapter in the stack changes nothing")
    again = distance(_stacked(subject, saved, "first"), saved.trained.answered)
    if again > SAME:
        raise CheckFailedError(f"on {place} stacking changed an adapter's files")


def check_averages_are_exact(subject: Subject) -> None:
    """Declaring several-active, an average of an adapter with itself is that adapter.

    write_average() goes by the members' names: in another order they make the same adapter, and
    each counts as much as its weight. Where an adapter's settings allow no exact average,
    check_together() says so.
    """
    require(subject, "several-active")
    place = first_place(subject)
    saved = needed(sound_save, "check_saves_and_loads", subject, place)
    answered = saved.trained.answered
    itself = distance(_averaged(subject, saved, {"first": 0.25, "again": 0.75}), answered)
    if itself > AVERAGED:
        raise CheckFailedError(
            f"on {place} the average of an adapter with itself answers otherwise, by {itself:.2g}"
        )
    one = _averaged(subject, saved, {"first": 0.25, "second": 0.75})
    off = distance(_averaged(subject, saved, {"second": 0.75, "first": 0.25}), one)
    if off > AVERAGED:
        raise CheckFailedError(
            f"on {place} an average in another order answers otherwise, by {off:.2g}"
        )
    for name, alone in (("first", "second"), ("second", "first")):
        if distance(_averaged(subject, saved, {name: 0.0, alone: 1.0}), one) < AVERAGED:
            raise CheckFailedError(f"on {place} the {name} adapter's weight changes no answer")


def check_tokens_can_use_different_adapters(subject: Subject) -> None:
    """Declaring per-token, each token of an input is changed by its owner alone.

    An adapter that owns all tokens answers as it does alone, whichever number it has; where two
    share them, both count. load_split() asks in every adapted layer whose the tokens are.
    """
    require(subject, "per-token")
    place = first_place(subject)
    saved = needed(sound_save, "check_saves_and_loads", subject, place)
    folders = folders_of(subject, saved, ("first", "second"))
    batch = saved.trained.work.batch
    alone = []
    for number, (name, folder) in enumerate(folders.items()):
        loaded = subject.implementation.load(fresh_base(subject, place), folder)
        alone.append(outputs(loaded.model, batch))
        off = distance(_split(subject, saved, folders, name, range(number, number + 1)), alone[-1])
        if off > SAME:
            raise CheckFailedError(
                f"on {place} the {name} adapter, which owns all tokens, answers otherwise than "
                f"alone, by {off:.2g}"
            )
    shared = _split(subject, saved, folders, "first", range(2))
    if distance(shared, alone[0]) < SAME:
        raise CheckFailedError(f"on {place} a second adapter, which owns tokens, changes nothing")


def check_rows_can_use_different_adapters(subject: Subject) -> None:
    """Declaring mixed-batch, each row of a batch is answered by the adapter that it names.

    The attached model is called with ``adapter_names``, one a row, as PEFT's models are. PEFT
    drops the argument without a word where a method does not know it. It is tried with a head that
    adds no layers, of which a batch would need several too.
    """
    require(subject, "mixed-batch")
    place = _place_without_new_layers(subject)
    work = attach_again(subject, place)
    model: Any = work.attached.model
    if not hasattr(model, "add_adapter"):
        raise CheckFailedError("the attached model has no add_adapter()")
    model.add_adapter(ADAPTERS[1], deepcopy(model.peft_config[ADAPTERS[0]]))
    answers = {}
    for number, name in enumerate(ADAPTERS):
        model.set_adapter(name)
        _shake(model, SEED + number)
        answers[name] = outputs(model, work.batch)
    rows = len(work.batch["input_ids"])
    names = [ADAPTERS[row % 2] for row in range(rows)]
    mixed = outputs(model, work.batch, adapter_names=names)
    expected = torch.stack([answers[name][row] for row, name in enumerate(names)])
    off = distance(mixed, expected)
    if off > SAME:
        raise CheckFailedError(
            f"on {place} a batch of rows with different adapters differs by {off:.2g} from the "
            "rows with one adapter each"
        )


def check_can_be_fused(subject: Subject) -> None:
    """Declaring fusible, a mixture that takes one adapter's change alone gives that adapter.

    load_fusible() hands to a layer's mixture what each adapter alone adds to what the frozen layer
    puts out; what the mixture returns is added to it. Nothing learns but the mixtures. It is tried
    with a head that adds no layers, since heads are left behind.
    """
    require(subject, "fusible")
    place = _place_without_new_layers(subject)
    saved = needed(sound_save, "check_saves_and_loads", subject, place)
    folders = folders_of(subject, saved, ("first", "second"))
    if reasons := list(subject.implementation.check_fusible(folders)):
        raise CheckFailedError(f"on {place} check_fusible() refuses: {reasons[0]}")
    for number, (name, folder) in enumerate(folders.items()):
        base = fresh_base(subject, place)
        subject.implementation.load_fusible(base, folders, partial(_TakesOne, number))
        if learning := [n for n, value in base.model.named_parameters() if value.requires_grad]:
            raise CheckFailedError(f"on {place} {learning[0]!r} requires a gradient")
        alone = subject.implementation.load(fresh_base(subject, place), folder).model
        batch = saved.trained.work.batch
        off = distance(outputs(base.model, batch), outputs(alone, batch))
        if off > SAME:
            raise CheckFailedError(
                f"on {place} all weight on the {name} adapter does not answer as that one: answers "
                f"differ by {off:.2g} of the largest"
            )


class _TakesOne(torch.nn.Module):
    """A mixture that is one adapter's change."""

    def __init__(self, number: int, width: int) -> None:
        super().__init__()
        self._number = number

    def forward(self, hidden: torch.Tensor, changes: torch.Tensor) -> torch.Tensor:
        return changes[..., self._number, :]


def _place_without_new_layers(subject: Subject) -> Place:
    for place in declared_places(subject):
        if place.kind not in NEW_LAYERS and not refusals(subject, place):
            return place
    raise NotApplicableError("every head that it can be attached with has layers of its own")


def _stacked(subject: Subject, saved: Saved, *names: str) -> torch.Tensor:
    """Return what a stack answers; ``second`` is the adapter with other weights."""
    place = saved.trained.work.place
    folders = folders_of(subject, saved, names)
    _require_together(subject, folders, "stack")
    stack = subject.implementation.load_stack(fresh_base(subject, place), folders, names[0])
    return outputs(stack.model, saved.trained.work.batch)


def _split(
    subject: Subject, saved: Saved, folders: Mapping[str, Path], head: str, owning: range
) -> torch.Tensor:
    """Return what adapters answer of which every owner but the last has one token."""
    if reasons := list(subject.implementation.check_split(folders)):
        raise NotApplicableError(f"its adapters share out no tokens: {reasons[0]}")

    def owners(layer: str, given: torch.Tensor) -> torch.Tensor:
        places = torch.arange(given.shape[-2]).clamp(max=len(owning) - 1) + owning.start
        return places.expand(given.shape[:-1])

    base = fresh_base(subject, saved.trained.work.place)
    split = subject.implementation.load_split(base, folders, head, owners)
    return outputs(split.model, saved.trained.work.batch)


def _averaged(subject: Subject, saved: Saved, weights: Mapping[str, float]) -> torch.Tensor:
    """Return what an average answers, its head included; ``second`` as in a stack."""
    place = saved.trained.work.place
    folders = folders_of(subject, saved, weights)
    _require_together(subject, folders, "average")
    folder = subject.folder / f"average-{len(list(subject.folder.iterdir()))}"
    folder.mkdir()
    subject.implementation.write_average(folders, weights, weights, folder)
    loaded = subject.implementation.load(fresh_base(subject, place), folder)
    return outputs(loaded.model, saved.trained.work.batch)


def folders_of(subject: Subject, saved: Saved, names: Iterable[str]) -> dict[str, Path]:
    """Return adapters' folders by their names; ``second`` is one with other weights."""
    folders = dict.fromkeys(names, saved.folder)
    if "second" in folders:
        folders["second"] = subject.folder / "second"
        if not folders["second"].exists():
            _save_another(subject, saved.trained.work.place)
    return folders


def _require_together(
    subject: Subject, folders: Mapping[str, Path], how: Literal["stack", "average"]
) -> None:
    if reasons := list(subject.implementation.check_together(folders, how)):
        raise NotApplicableError(f"of its adapters there is no {how}: {reasons[0]}")


def _save_another(subject: Subject, place: Place) -> None:
    """Write an adapter whose every weight is another one."""
    work = attach_again(subject, place)
    _shake(work.attached.model, SEED + 1)
    (subject.folder / "second").mkdir()
    subject.implementation.save(work.attached, subject.folder / "second")


def _shake(model: Any, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for value in model.parameters():
        if value.requires_grad:
            value.data += 0.05 * torch.randn(value.shape, generator=generator)


CHECKS: Final = (
    check_can_be_switched_off,
    check_several_can_be_active,
    check_averages_are_exact,
    check_tokens_can_use_different_adapters,
    check_rows_can_use_different_adapters,
    check_can_be_fused,
)
