"""Compositions: several members on one base, loaded to answer together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.architecture import Architecture, read_architecture
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import CapabilityError, IntegrityError, UnknownNameError
from adapterhub_lite.inference.artifact import (
    HAVE_MEMBERS,
    LEARNT,
    MEMBERS,
    ArtifactInfo,
    Composed,
    read_info,
)
from adapterhub_lite.inference.interface import interface_of, predictor_of
from adapterhub_lite.inference.loaded import Bases, Loaded, Pooled, SharedBase
from adapterhub_lite.inference.members import open_member
from adapterhub_lite.inference.mixing import Row, answer_together
from adapterhub_lite.inference.predictor import Options, Predictor
from adapterhub_lite.predictions import Prediction
from adapterhub_lite.protocols import AdapterMember, LoadedBase, Member, Scorer
from adapterhub_lite.recipes import validate
from adapterhub_lite.specs import CompositionSpec, Head, ResolvedBase

if TYPE_CHECKING:
    from torch import nn


class OpenMembers:
    """Members whose folders were read; models are loaded when they are asked for.

    Implements :class:`~adapterhub_lite.protocols.Members`, where all are adapters
    :class:`~adapterhub_lite.protocols.AdapterMembers`, and for predictors
    :class:`~adapterhub_lite.inference.predictor.AskedMembers`. ``name`` is the composition's.
    """

    def __init__(
        self,
        name: str,
        members: Sequence[Member],
        head: str | None,
        bases: Bases,
        catalogue: Catalogue,
        files: Path | None = None,
    ) -> None:
        self.name = name
        self.all = tuple(members)
        self.head = head
        self.files = files
        self._bases, self._catalogue = bases, catalogue
        self._bare: LoadedBase | None = None
        self._scorers: dict[str, Scorer] = {}
        self._pooled: dict[str, Loaded] = {}
        self._inner: dict[str, OpenComposition] = {}
        self._models: list[tuple[SharedBase, nn.Module]] = []

    @property
    def names(self) -> tuple[str, ...]:
        """The members' names, in their order."""
        return tuple(member.name for member in self.all)

    @property
    def architecture(self) -> Architecture:
        """What the members' common base is, told from its config and tensor headers."""
        return read_architecture(Path(self._bases.found.path), self._bases.found.ref)

    @property
    def default(self) -> Member:
        """The member that answers when nobody chooses."""
        return self.all[0] if self.head is None else self.find(self.head)

    def find(self, name: str) -> Member:
        """Return a member by its name; raises UnknownNameError, with the nearest one."""
        for member in self.all:
            if member.name == name:
                return member
        raise UnknownNameError("member", name, self.names)

    def method(self, member: AdapterMember) -> Any:
        """Return the implementation of a member's method."""
        return self._catalogue.implementation(member.method)

    def base(self, member: Member) -> LoadedBase:
        """Load a base of its own, with the member's head and tokenizer; without its adapter."""
        if not isinstance(member, AdapterMember):
            inner = self.inner(member).members
            return inner.base(inner.default)
        info = read_info(member.folder)
        return self._bases.of(info).fresh(member.folder, info)

    def bare(self) -> LoadedBase:
        """Load the transformer that all members are on, without a head or an adapter, once."""
        if self._bare is None:
            folder = self.default.folder
            info = replace(read_info(folder), head=Head(), base=None)
            shared = self._bases.of(info)
            self._bare = shared.fresh(folder, info)
            self._keep(shared, self._bare)
        return self._bare

    def inner(self, member: Member) -> "OpenComposition":
        """Return a member that is a composition itself, opened once."""
        if member.name not in self._inner:
            name, folder = f"{self.name}/{member.name}", member.folder
            self._inner[member.name] = OpenComposition(
                folder, name, read_info(folder), self._bases, self._catalogue
            )
        return self._inner[member.name]

    def models(self, member: Member) -> Iterator[LoadedBase]:
        """Load a member anew: its adapter, or every model that it is composed of."""
        if isinstance(member, AdapterMember):
            yield self.model(member)
        else:
            yield from self.inner(member).models()

    def model(self, member: AdapterMember) -> LoadedBase:
        """Load a member, with its adapter."""
        loaded: LoadedBase = self.method(member).load(self.base(member), member.folder)
        return loaded

    def scorer(self, member: Member) -> Scorer:
        """Load a member as it answers alone, once; what members share of the base is held once."""
        if not isinstance(member, AdapterMember):
            return self.inner(member).scorer
        if member.name not in self._scorers:
            self._scorers[member.name] = self.answering(self.model(member), member)
        return self._scorers[member.name]

    def answering(self, model: LoadedBase, member: Member) -> Scorer:
        """Return the scorer of a model that answers as an adapter does, by its objective."""
        assert isinstance(member, AdapterMember), "one model has the head of an adapter"
        self._keep(self._bases.of(read_info(member.folder)), model)
        objective = self._catalogue.implementation(member.objective)
        scorer: Scorer = objective.load(model, member.folder)
        return scorer

    def own_bytes(self) -> int:
        """Return how many bytes were loaded beyond the base."""
        shared = {id(base): base for base, _ in self._models}
        own = (b.own_bytes(m for of, m in self._models if of is b) for b in shared.values())
        pooled = (loaded.nbytes() for loaded in self._pooled.values())
        inner = (composition.members.own_bytes() for composition in self._inner.values())
        return sum((*own, *pooled, *inner))

    def alone(self, path: str) -> Predictor:
        """Return the predictor of a member, or by ``outer/inner`` of a member's member."""
        members, member = self._locate(path)
        name = f"{members.name}/{member.name}"
        if isinstance(member, AdapterMember):
            return predictor_of(members.scorer(member), name, member)
        return members.inner(member).predictor

    def predict(
        self,
        asked: Sequence[tuple[Member, Any]],
        progress: Callable[[int], None] | None = None,
    ) -> list[Prediction]:
        """Answer inputs, each by its member as it does alone, in order; passes are shared."""
        names, inputs = [member.name for member, _ in asked], [one for _, one in asked]
        return self.answer(names, inputs, [None] * len(asked), progress)

    def answer(
        self,
        paths: Sequence[str],
        inputs: Sequence[Any],
        options: Options,
        progress: Callable[[int], None] | None = None,
    ) -> list[Prediction]:
        """Answer each input by the member of its path, as :meth:`alone` does; passes are shared."""
        places = {path: self._locate(path) for path in dict.fromkeys(paths)}
        found = {path: members._together(member) for path, (members, member) in places.items()}
        rows = [
            Row(*found[path], asked, own)
            for path, asked, own in zip(paths, inputs, options, strict=True)
        ]
        for number, row in enumerate(rows):
            row.predictor.normalised(number, row.input)
        return answer_together(rows, progress)

    def _locate(self, path: str) -> "tuple[OpenMembers, Member]":
        first, slash, rest = path.partition("/")
        member = self.find(first)
        if not slash:
            return self, member
        if isinstance(member, AdapterMember):
            raise CapabilityError(
                f"{self.name}/{first} is one adapter: it has no members to choose from",
                hint=HAVE_MEMBERS,
            )
        return self.inner(member).members._locate(rest)

    def _together(self, member: Member) -> tuple[Predictor, Pooled | None]:
        """Return a member so that its rows share passes with those of others, where they can."""
        if not (isinstance(member, AdapterMember) and self._has_company(member)):
            return self.alone(member.name), None
        if member.name not in self._pooled:
            info = read_info(member.folder)
            name = f"{self.name}/{member.name}"
            self._pooled[member.name] = self._bases.of(info).load(name, member.folder, info)
        loaded = self._pooled[member.name]
        return loaded.predictor, loaded.pooled

    def _has_company(self, member: AdapterMember) -> bool:
        """Say whether another member's rows may share a pass with this one's."""
        return "shared-pass" in member.method.capabilities and any(
            isinstance(other, AdapterMember) and other.method == member.method
            for other in self.all
            if other is not member
        )

    def _keep(self, shared: SharedBase, model: LoadedBase) -> None:
        shared.settle()
        self._models.append((shared, model.model))


class OpenComposition:
    """A composition whose folder was read; ``name`` is its predictor's.

    Raises UnknownNameError when a plugin is absent, IntegrityError for files that do not fit, and
    CapabilityError for compositions that lie within each other too deep.
    """

    def __init__(
        self, folder: Path, name: str, info: ArtifactInfo, bases: Bases, catalogue: Catalogue
    ) -> None:
        assert info.composition is not None, "only a composition is opened so"
        self.name = name
        self.spec = catalogue.composition(info.composition.name)
        self.params = validate(self.spec.params, info.composition.params, where="composition")
        self.members = open_members(folder, name, info.composition, self.spec, bases, catalogue)
        self._interface = interface_of(info, catalogue)
        self._catalogue = catalogue

    @cached_property
    def scorer(self) -> Scorer:
        """What answers for all."""
        return load_together(self.members, self.spec, self.params, self._catalogue)

    @cached_property
    def predictor(self) -> Predictor:
        """What answers for all, and can be asked for one of them."""
        return predictor_of(self.scorer, self.name, self._interface, self.members)

    def models(self) -> Iterator[LoadedBase]:
        """Load every model of it anew."""
        if self.spec.result == "model":
            yield self._catalogue.implementation(self.spec).load(self.members, self.params)
            return
        for member in self.members.all:
            yield from self.members.models(member)


def load_composition(
    folder: Path,
    name: str,
    info: ArtifactInfo,
    base: ResolvedBase,
    catalogue: Catalogue,
    device: str,
) -> Predictor:
    """Load the composition in ``folder`` onto ``base``; raises as :class:`OpenComposition`."""
    return OpenComposition(folder, name, info, Bases(base, catalogue, device), catalogue).predictor


def open_members(
    folder: Path,
    name: str,
    composed: Composed,
    spec: CompositionSpec,
    bases: Bases,
    catalogue: Catalogue,
) -> OpenMembers:
    """Open the members that lie in a composition's folder."""
    found = [
        open_member(one.name, folder / MEMBERS / one.name, spec, one.params, catalogue)
        for one in composed.members
    ]
    return OpenMembers(name, found, composed.head, bases, catalogue, folder / LEARNT)


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
