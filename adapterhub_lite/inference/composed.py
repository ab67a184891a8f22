"""Compositions: several adapters on one base, loaded to answer together."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import IntegrityError, UnknownNameError
from adapterhub_lite.inference.artifact import (
    MEMBERS,
    ArtifactInfo,
    Composed,
    read_artifact_info,
)
from adapterhub_lite.inference.held import Held
from adapterhub_lite.inference.loading import load_base
from adapterhub_lite.inference.origins import require_parts, warn_of_versions
from adapterhub_lite.inference.predictor import Predictor
from adapterhub_lite.protocols import LoadedBase, Member, Scorer
from adapterhub_lite.recipes import validate
from adapterhub_lite.specs import CompositionSpec, ResolvedBase

if TYPE_CHECKING:
    from torch import nn


class OpenMembers:
    """Members whose folders were read; models are loaded when they are asked for.

    Implements :class:`~adapterhub_lite.protocols.Members`.
    """

    def __init__(
        self,
        members: Sequence[Member],
        head: str | None,
        base: ResolvedBase,
        catalogue: Catalogue,
        device: str = "cpu",
        held: Held | None = None,
    ) -> None:
        self.all = tuple(members)
        self.head = head
        self.models: list[nn.Module] = []
        """What was loaded of them, and for all of them."""
        self._base, self._catalogue, self._device = base, catalogue, device
        self._scorers: dict[str, Scorer] = {}
        self._held = Held() if held is None else held

    def find(self, name: str) -> Member:
        """Return a member by its name; raises UnknownNameError, with the nearest one."""
        for member in self.all:
            if member.name == name:
                return member
        raise UnknownNameError("member", name, [member.name for member in self.all])

    def method(self, member: Member) -> Any:
        """Return the implementation of a member's method."""
        return self._catalogue.implementation(member.method)

    def base(self, member: Member) -> LoadedBase:
        """Load a base of its own, with the member's head and tokenizer; without its adapter."""
        info = read_artifact_info(member.folder)
        base = load_base(member.folder, info, self._base, self._catalogue, self._device)
        self._held.watch(base.model)
        return base

    def model(self, member: Member) -> LoadedBase:
        """Load a member, with its adapter."""
        loaded: LoadedBase = self.method(member).load(self.base(member), member.folder)
        return loaded

    def scorer(self, member: Member) -> Scorer:
        """Load a member as it answers alone, once; what members share of the base is held once."""
        if member.name not in self._scorers:
            self._scorers[member.name] = self.answering(self.model(member), member)
        return self._scorers[member.name]

    def answering(self, model: LoadedBase, member: Member) -> Scorer:
        """Return the scorer of a model that answers as ``member`` does, by its objective."""
        self._held.settle()
        self.models.append(model.model)
        objective = self._catalogue.implementation(member.objective)
        scorer: Scorer = objective.load(model, member.folder)
        return scorer


def load_composition(
    folder: Path,
    name: str,
    info: ArtifactInfo,
    base: ResolvedBase,
    catalogue: Catalogue,
    device: str,
) -> Predictor:
    """Load the composition in ``folder`` onto ``base``; ``name`` is the predictor's.

    Raises UnknownNameError when a plugin is absent, IntegrityError for files that do not fit.
    """
    return open_composition(folder, name, info, base, catalogue, device)[0]


def open_composition(
    folder: Path,
    name: str,
    info: ArtifactInfo,
    base: ResolvedBase,
    catalogue: Catalogue,
    device: str,
    held: Held | None = None,
) -> tuple[Predictor, OpenMembers]:
    """Load a composition as :func:`load_composition` does; return its members, too.

    What they share of the base with the models of ``held`` is held once.
    """
    assert info.composition is not None, "only a composition is loaded so"
    spec = catalogue.composition(info.composition.name)
    params = validate(spec.params, info.composition.params, where="composition")
    members = open_members(folder, info.composition, spec, base, catalogue, device, held)
    scorer = load_together(members, spec, params, catalogue)
    alone = {one.name: partial(_alone, name, one, members) for one in members.all}
    objective = catalogue.objective(info.objective)
    predictor = Predictor(
        scorer, name, info.task, objective.rows, pairs=objective.pairs, members=alone
    )
    return predictor, members


def open_members(
    folder: Path,
    composed: Composed,
    spec: CompositionSpec,
    base: ResolvedBase,
    catalogue: Catalogue,
    device: str,
    held: Held | None = None,
) -> OpenMembers:
    """Open the members that lie in a composition's folder."""
    found = [
        open_member(one.name, folder / MEMBERS / one.name, spec, one.params, catalogue)
        for one in composed.members
    ]
    return OpenMembers(found, composed.head, base, catalogue, device, held)


def open_member(
    name: str, folder: Path, spec: CompositionSpec, params: Mapping[str, Any], catalogue: Catalogue
) -> Member:
    """Read what a member's files say of it.

    Raises CapabilityError for a member that is itself a composition, RecipeError for parameters.
    """
    info = read_artifact_info(folder)
    require_parts(info, name, catalogue)
    warn_of_versions(info, name, catalogue)
    return Member(
        name=name,
        folder=folder,
        task=info.task,
        method=catalogue.method(info.method),
        objective=catalogue.objective(info.objective),
        head=info.head,
        params=validate(spec.member_params, params, where=f"members.{name}"),
    )


def load_together(
    members: OpenMembers, spec: CompositionSpec, params: Any, catalogue: Catalogue
) -> Scorer:
    """Return what answers for a composition whose members stay."""
    made = catalogue.implementation(spec).load(members, params)
    if spec.result == "answers":
        scorer: Scorer = made
        return scorer
    if members.head is None:
        raise IntegrityError(f"the composition {spec.name!r} does not say whose head answers")
    return members.answering(made, members.find(members.head))


def _alone(composition: str, member: Member, members: OpenMembers) -> Predictor:
    objective = member.objective
    name = f"{composition}/{member.name}"
    return Predictor(
        members.scorer(member), name, member.task, objective.rows, pairs=objective.pairs
    )
