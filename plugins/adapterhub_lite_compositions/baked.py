"""The same models made in another way: by merging each adapter into a base.

This is what compositions are compared with before they are published. It goes by the methods'
``bake``, and by no code that composes.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from adapterhub_lite.protocols import AdapterMember, AdapterMembers, LoadedBase
from adapterhub_lite_compositions.spans import Choose, follow, owners_of

State = dict[str, torch.Tensor]


def averaged(
    members: AdapterMembers, factors: Mapping[str, float], heads: Mapping[str, float]
) -> LoadedBase | None:
    """Return a base with W + Σ wᵢ(Wᵢ - W), summed in 64 bits; heads are summed with their own.

    Wᵢ are the weights with member i merged in. None where a member's method cannot be merged, or
    its base is quantised.
    """
    answering = next(member for member in members.all if heads[member.name])
    made = members.base(answering)
    if not _can_bake(members) or made.quantised:
        return None
    plain = _state(made.model)
    sums = {name: value.double() for name, value in plain.items()}
    whole: State = {}
    for member in members.all:
        base = members.base(member)
        before = _state(base.model)
        after = _state(_baked(members, member, base).model)
        for name, value in after.items():
            if _is_new(name, base):
                if heads[member.name]:
                    whole[name] = whole.get(name, 0) + heads[member.name] * value.double()
            elif not value.equal(before[name]):
                sums[name] += factors[member.name] * (value.double() - before[name].double())
    _put(made.model, {**sums, **whole})
    return made


def stacked(members: AdapterMembers) -> LoadedBase | None:
    """Return a base into which the members were merged in their order, with the chosen head.

    None where a member's method cannot be merged, or its base is quantised.
    """
    assert members.head is not None, "of one model, one member's head answers"
    made = members.base(members.find(members.head))
    if not _can_bake(members) or made.quantised:
        return None
    below: State = {}
    whole: State = {}
    for member in members.all:
        base = members.base(member)
        _put(base.model, below)
        after = _state(_baked(members, member, base).model)
        below = {name: value for name, value in after.items() if not _is_new(name, base)}
        if member.name == members.head:
            whole = {name: value for name, value in after.items() if _is_new(name, base)}
    _put(made.model, {**below, **whole})
    return made


def taken_in_turn(members: AdapterMembers, choose: Choose) -> LoadedBase | None:
    """Return a base whose layers are computed as every member merged into it computes them.

    Of each layer's outputs ``choose`` takes, token by token, the owner's. None where a member's
    method cannot be merged, or its base is quantised.
    """
    assert members.head is not None, "of one model, one member's head answers"
    base = members.base(members.find(members.head))
    if not _can_bake(members) or base.quantised:
        return None
    made = _baked(members, members.find(members.head), base)
    follow(made.model.base_model, choose)
    for number, member in enumerate(members.all):
        other = _baked(members, member, members.base(member)).model
        for layer in _differing(made, other):
            take = partial(_take, layer, number, other.get_submodule(layer))
            made.model.get_submodule(layer).register_forward_hook(take)
    return made


def _differing(made: LoadedBase, other: Any) -> list[str]:
    """Return the modules whose weights are others in another model; those of the head are left."""
    mine = dict(made.model.named_parameters())
    names = [
        name
        for name, value in other.named_parameters()
        if not _is_new(name, made) and not value.equal(mine[name])
    ]
    return list(dict.fromkeys(name.rpartition(".")[0] for name in names))


def _take(
    layer: str, number: int, other: Any, module: Any, args: Any, output: torch.Tensor
) -> torch.Tensor:
    own = owners_of(layer, args[0]) == number
    return torch.where(own.unsqueeze(-1), other(*args), output)


def _can_bake(members: AdapterMembers) -> bool:
    return all("bake" in member.method.capabilities for member in members.all)


def _baked(members: AdapterMembers, member: AdapterMember, base: LoadedBase) -> LoadedBase:
    # the module is changed in place, and what is new in it is asked for afterwards
    merged: LoadedBase = members.method(member).bake(replace(base), member.folder)
    return merged


def _is_new(name: str, base: LoadedBase) -> bool:
    """Say whether a weight is of a module that the head added."""
    return any(f".{module}." in f".{name}" for module in base.new)


def _state(model: Any) -> State:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@torch.no_grad()
def _put(model: Any, state: Mapping[str, torch.Tensor]) -> None:
    for name, value in model.named_parameters():
        if name in state:
            value.copy_(state[name])
