"""What fitting does to a model, and what it does not."""

import json
from typing import Any, Final

import torch
from torch import nn

from adapterhub_lite.errors import NonFiniteError
from adapterhub_lite.testing.models import MODELS
from adapterhub_lite.testing.numbers import score_difference
from adapterhub_lite.testing.objectives.workbench import (
    attach_whole,
    families_of,
    first_fit,
    fit,
    fitted,
    load_base,
    spec_of,
    weights,
)
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.rows import rows_of
from adapterhub_lite.testing.sharing import needed
from adapterhub_lite.testing.subject import Subject


def check_fits(subject: Subject) -> None:
    """fit() trains each family that the spec declares, and says what was kept and why.

    The manifest keeps ``hyperparameters`` and ``candidates`` as JSON, and the report the reason.
    """
    for family in families_of(subject):
        outcome = fitted(subject, family).outcome
        if not outcome.kept or not outcome.reason:
            raise CheckFailedError("the outcome does not say what was kept, or why")
        try:
            json.dumps([dict(outcome.hyperparameters), dict(outcome.candidates)])
        except (TypeError, ValueError) as error:
            raise CheckFailedError(f"the outcome's figures are no JSON: {error}") from error


def check_loss_falls(subject: Subject) -> None:
    """The loss of the last third of the steps is below that of the first third.

    The run is told a loss with each step: ``run.step("train", done, total, loss=…)``. If it does
    not fall, give more steps or a higher rate in the hook adapterhub_conformance, or look whether
    the loss reaches the model's weights.
    """
    looked = False
    for family in families_of(subject):
        found = needed(fitted, "check_fits", subject, family)
        for stage, losses in found.run.losses.items():
            third = len(losses) // 3
            if not third:
                continue
            looked = True
            first, last = sum(losses[:third]) / third, sum(losses[-third:]) / third
            if not last < first:
                raise CheckFailedError(
                    f"on a {MODELS[family][0]}, the stage {stage!r}: the loss was {first:.4g} and "
                    f"is {last:.4g} after {len(losses)} steps"
                )
    if not looked:
        raise NotApplicableError("it reports no loss of three steps or more")


def check_only_what_is_trainable_changes(subject: Subject) -> None:
    """Parameters that the method does not name keep every bit.

    Give the optimiser the parameters of ``Attached.trainable``, and no others.
    """
    family = families_of(subject)[0]
    base = load_base(subject, family)
    attached = attach_whole(base, without="embed" if family == "encoder" else "norm")
    before = weights(attached)
    frozen = before.keys() - attached.trainable
    needed(fit, "check_fits", subject, family, attached, subject.folder)
    after = weights(attached)
    changed = [name for name in sorted(frozen) if not torch.equal(before[name], after[name])]
    if changed:
        raise CheckFailedError(
            f"{len(changed)} of {len(frozen)} frozen parameters changed, the first {changed[0]!r}"
        )


def check_same_seed_same_answers(subject: Subject) -> None:
    """The same seed gives the same scores.

    Seed whatever is drawn with ``run.seed``: order of rows, dropout, samples.
    """
    first = first_fit(subject)
    attached = attach_whole(load_base(subject, first.family))
    second = fit(subject, first.family, attached, subject.folder)
    rows = rows_of(spec_of(subject).rows)
    off = score_difference(first.outcome.scorer.score(rows), second.outcome.scorer.score(rows))
    if off:
        raise CheckFailedError(f"scores differ by {off:.2g} the second time")


def check_a_loss_that_is_not_finite_stops(subject: Subject) -> None:
    """When weights become NaN in the second step, fit() raises NonFiniteError.

    Look at the loss of each step before the optimiser takes it; nothing is published then.
    """
    family = families_of(subject)[0]
    needed(fitted, "check_fits", subject, family)
    attached = attach_whole(load_base(subject, family))
    passes = 0

    def spoil(model: nn.Module, arguments: Any) -> None:
        nonlocal passes
        passes += torch.is_grad_enabled()
        if passes == 2:
            for value in model.parameters():
                value.data.fill_(float("nan"))

    attached.model.register_forward_pre_hook(spoil)
    try:
        fit(subject, family, attached, subject.folder)
    except NonFiniteError:
        return
    except Exception as error:
        raise CheckFailedError(
            f"with weights that are NaN, fit() raises {type(error).__name__}: "
            f"{str(error).partition(chr(10))[0]}"
        ) from error
    if passes < 2:
        raise NotApplicableError("it calls the model's forward pass less than twice")
    raise CheckFailedError("fit() returns a model whose weights are NaN")


CHECKS: Final = (
    check_fits,
    check_loss_falls,
    check_only_what_is_trainable_changes,
    check_same_seed_same_answers,
    check_a_loss_that_is_not_finite_stops,
)
