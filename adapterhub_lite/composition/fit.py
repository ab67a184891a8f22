"""Whether adapters fit together, told from what their folders say."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from adapterhub_lite.errors import BaseModelError, CapabilityError
from adapterhub_lite.protocols import AdapterMember

if TYPE_CHECKING:
    from adapterhub_lite.composition.plan import Found


def require_one_base(found: "Sequence[Found]") -> None:
    """Raise CapabilityError for a whole model, BaseModelError for adapters of different bases."""
    for one in found:
        if one.info.base is None:
            raise CapabilityError(
                f"{one.ref} is a whole model, and a composition is of adapters on one base",
                hint="train it as an adapter (method: lora), or take one out of it: "
                "ahl extract-lora",
            )
    first = found[0].info.base
    assert first is not None, "whole models were refused"
    for one in found[1:]:
        base = one.info.base
        assert base is not None, "whole models were refused"
        parts = ("config", "weights", "tokenizer")
        mine, other = first.fingerprint, base.fingerprint
        if differing := [p for p in parts if getattr(mine, p) != getattr(other, p)]:
            raise BaseModelError(
                f"{found[0].ref} was trained on {first.ref!r}, and {one.ref} on {base.ref!r}: "
                f"another base, whose {' and '.join(differing)} differ",
                ref=base.ref,
                hint="compose adapters of one base; train the other one again on it",
            )


def require_one_model(
    found: "Sequence[Found]",
    members: Sequence[AdapterMember],
    *,
    head: str | None,
    averaged: bool,
) -> None:
    """Raise CapabilityError for adapters that cannot be in one model with one head."""
    first, one = found[0], members[0]
    for place, member in zip(found[1:], members[1:], strict=True):
        _refuse(first, place, "methods", one.method.name, member.method.name)
        loaders = [(f.info.loader, dict(f.info.loader_params)) for f in (first, place)]
        if loaders[0] != loaders[1]:
            raise CapabilityError(
                f"the base of {first.ref} is loaded by {loaders[0][0]}, that of {place.ref} by "
                f"{loaders[1][0]}: in one model it is one",
                hint="a switch loads each as it was trained: --as switch",
            )
        _refuse(first, place, "kinds of heads", one.head.kind, member.head.kind)
        if head is None:
            _require_one_head(first, place, averaged)


def _refuse(first: "Found", other: "Found", what: str, here: str, there: str) -> None:
    if here != there:
        raise CapabilityError(
            f"{first.ref} and {other.ref} have different {what}: {here} and {there}",
            hint="a switch takes adapters of any method and task: --as switch",
        )


def _require_one_head(first: "Found", other: "Found", averaged: bool) -> None:
    """Raise CapabilityError unless two members do the same task with the same labels."""
    hint = f"say whose head answers (head: {first.name}, or --head {first.name}), or --as switch"
    here, there = first.info, other.info
    if here.objective != there.objective:
        raise CapabilityError(
            f"{first.ref} was trained by the objective {here.objective}, {other.ref} by "
            f"{there.objective}",
            hint=hint,
        )
    if here.head != there.head:
        shown = [", ".join(info.head.labels[:6]) or info.head.problem for info in (here, there)]
        raise CapabilityError(
            f"{first.ref} and {other.ref} have different labels: {shown[0]} and {shown[1]}",
            hint=hint,
        )
    if averaged and (name := _differing_head_file(first, other)):
        raise CapabilityError(
            f"{first.ref} and {other.ref} have heads of their own ({name}), which have no average",
            hint=hint,
        )


def _differing_head_file(first: "Found", other: "Found") -> str | None:
    """Return a file in which an objective keeps its head, if it is not the same in both."""
    for file in sorted(first.folder.glob("head.*")):
        twin = other.folder / file.name
        if not twin.is_file() or twin.read_bytes() != file.read_bytes():
            return file.name
    return None
