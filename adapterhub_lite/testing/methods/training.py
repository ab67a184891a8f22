"""What a few steps of training change, and what they do not."""

from typing import Final

import torch

from adapterhub_lite.testing.methods.workbench import (
    RATE,
    STEPS,
    attach_again,
    first_place,
    open_places,
    spec_of,
    train,
    trained_work,
)
from adapterhub_lite.testing.outcomes import CheckFailedError
from adapterhub_lite.testing.sharing import needed
from adapterhub_lite.testing.subject import Subject


def check_loss_falls(subject: Subject) -> None:
    """The loss of six rows that can be told apart falls in eight steps.

    AdamW takes them, at the method's own learning rate or 0.01, whichever is larger. When it stays
    the same, look whether what is trainable takes part in the forward pass, and whether its
    initial value lets a gradient through.
    """
    for place in open_places(subject):
        losses = trained_work(subject, place).losses
        if not losses[-1] < losses[0]:
            raise CheckFailedError(
                f"on {place} the loss was {losses[0]:.4g} and is {losses[-1]:.4g} after {STEPS} "
                "steps"
            )


def check_training_keeps_the_base(subject: Subject) -> None:
    """Training changes the parameters that are named trainable, and not a bit of another.

    Nothing else is saved, so what else changed is lost. Look for updates in the forward pass, and
    for hooks that write to weights.
    """
    for place in open_places(subject):
        trained = needed(trained_work, "check_loss_falls", subject, place)
        for name, before in trained.work.state.items():
            kept = name in trained.state and torch.equal(before, trained.state[name])
            if name not in trained.work.attached.trainable and not kept:
                raise CheckFailedError(f"on {place} {name!r} changed, and is not named trainable")


def check_same_seed_same_weights(subject: Subject) -> None:
    """The same seed gives the same weights, before training and after it.

    Draw from torch's global generator, which a run seeds, and from nothing else.
    """
    place = first_place(subject)
    first = needed(trained_work, "check_loss_falls", subject, place)
    second = train(attach_again(subject, place), max(RATE, spec_of(subject).learning_rate))
    for when, one, other in (
        ("once attached", first.work.state, second.work.state),
        (f"after {STEPS} steps", first.state, second.state),
    ):
        for name, value in one.items():
            if name not in other or not torch.equal(value, other[name]):
                raise CheckFailedError(f"on {place}, {when}, {name!r} differs the second time")


CHECKS: Final = (
    check_loss_falls,
    check_training_keeps_the_base,
    check_same_seed_same_weights,
)
