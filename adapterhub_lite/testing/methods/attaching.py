"""What a method says of a base beforehand, and what becomes of the base when it is attached."""

from collections.abc import Iterator
from typing import Final

import torch

from adapterhub_lite.testing.methods.workbench import (
    Work,
    attached_work,
    declared_places,
    first_place,
    open_places,
    refusals,
    settings,
    settled,
)
from adapterhub_lite.testing.models import Place, architecture
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.sharing import needed
from adapterhub_lite.testing.subject import Subject


def check_refusals_are_told_before(subject: Subject) -> None:
    """check() says in lines of text what speaks against a base, and does not refuse all of them.

    It is asked before a weight is loaded, and returns a list of reasons, empty when there is none.
    A family that the spec declares has a head with which check() takes it; if not, take the family
    out of the spec, or give parameters that suit a tiny model in the hook adapterhub_conformance.
    """
    for family, found in _by_family(subject).items():
        reasons = {place: refusals(subject, place) for place in found}
        for place, said in reasons.items():
            if wrong := [text for text in said if not _is_reason(text)]:
                raise CheckFailedError(f"on {place} check() says {wrong[0]!r}")
        if all(reasons.values()):
            raise CheckFailedError(
                f"declares {family}, and check() with {settings(subject)} refuses each head: "
                f"{reasons[found[0]][0]}"
            )
        if subject.quick:
            return


def check_attaches(subject: Subject) -> None:
    """Where check() has no objection, attach() succeeds.

    What cannot work is refused by check(), before a weight is loaded: a plan that was accepted
    must not fail an hour later. Move the reason for which attach() failed to check().
    """
    for place in _where_not_refused(subject):
        try:
            work = attached_work(subject, place)
        except Exception as error:
            raise CheckFailedError(
                f"on {place} check() says nothing, and attach() raises "
                f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            ) from error
        if work.attached.head != work.base.head or work.attached.tokenizer is None:
            raise CheckFailedError(
                f"on {place} the base's head or tokenizer is lost",
                hint="hand base.head, base.tokenizer and base.path on in Attached",
            )


def check_counts_what_learns(subject: Subject) -> None:
    """count_trainable() is the number of parameters that learn once it is attached.

    A plan shows it, and estimates memory by it, without loading a weight.
    """
    for place, work in _attached(subject):
        learning = sum(value.numel() for value in _learning(work).values())
        counted = subject.implementation.count_trainable(
            architecture(subject, place.family), place.head, settled(subject, place)
        )
        if counted != learning:
            raise CheckFailedError(
                f"on {place} count_trainable() says {counted:,}, and {learning:,} learn"
            )


def check_exactly_the_declared_learn(subject: Subject) -> None:
    """Attached.trainable names exactly the parameters that require a gradient.

    The objective trains those that are named, and the artifact keeps them. Call
    ``model.requires_grad_(False)`` first, then let the named ones require a gradient.
    """
    for place, work in _attached(subject):
        named, learning = set(work.attached.trainable), set(_learning(work))
        if named != learning:
            which = sorted(named ^ learning)[0]
            verb = "requires no gradient" if which in named else "requires a gradient"
            raise CheckFailedError(
                f"on {place} {len(named)} parameters are named trainable, and {len(learning)} "
                f"require a gradient; {which!r} {verb}"
            )


def check_the_head_learns(subject: Subject) -> None:
    """The layers that the task's head added learn, whatever else does.

    They are random, and LoadedBase.new names them: add their parameters to the trainable ones.
    """
    looked = False
    for place, work in _attached(subject):
        for module in work.base.new:
            looked = True
            if not any(f".{module}." in f".{name}" for name in work.attached.trainable):
                raise CheckFailedError(f"on {place} nothing of the new layer {module!r} learns")
    if not looked:
        raise NotApplicableError("no head that it can be attached with has layers of its own")


def check_attaching_keeps_the_base(subject: Subject) -> None:
    """Attaching changes no weight of the base.

    An adapter is loaded onto the base as its files hold it. Where an initialisation takes
    something out of the weights, save what was learnt against the weights as they were.
    """
    for place, work in _attached(subject):
        values = {_value(tensor) for tensor in _all_tensors(work)}
        starts = tuple(f"{module}." for module in work.base.new)
        for name, tensor in work.loaded.items():
            ours = name.startswith(starts) or name in work.learning_in_place
            if not ours and _value(tensor) not in values:
                raise CheckFailedError(f"on {place} {name!r} is not what it was when loaded")


def _by_family(subject: Subject) -> dict[str, list[Place]]:
    found: dict[str, list[Place]] = {}
    for place in declared_places(subject):
        found.setdefault(place.family, []).append(place)
    return found


def _where_not_refused(subject: Subject) -> list[Place]:
    if subject.quick:
        return [first_place(subject)]
    told = "check_refusals_are_told_before"
    return [p for p in declared_places(subject) if not needed(refusals, told, subject, p)]


def _is_reason(text: object) -> bool:
    return isinstance(text, str) and len(text) > 1 and "\n" not in text


def _attached(subject: Subject) -> Iterator[tuple[Place, Work]]:
    for place in open_places(subject):
        yield place, needed(attached_work, "check_attaches", subject, place)


def _learning(work: Work) -> dict[str, torch.Tensor]:
    return {n: v for n, v in work.attached.model.named_parameters() if v.requires_grad}


def _all_tensors(work: Work) -> Iterator[torch.Tensor]:
    yield from work.state.values()
    yield from work.attached.model.buffers()


def _value(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().numpy().tobytes()


CHECKS: Final = (
    check_refusals_are_told_before,
    check_attaches,
    check_counts_what_learns,
    check_exactly_the_declared_learn,
    check_the_head_learns,
    check_attaching_keeps_the_base,
)
