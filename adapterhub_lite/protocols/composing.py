"""What a composition must offer, and what it sees of its members."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from adapterhub_lite.architecture import Architecture
from adapterhub_lite.protocols.models import LoadedBase
from adapterhub_lite.protocols.objectives import Scorer
from adapterhub_lite.specs import Answered, Head, MethodSpec, ObjectiveSpec, RowKind

if TYPE_CHECKING:
    from adapterhub_lite.predictions import Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What is asked of a version, and what it answers.

    Inputs are those of the kind ``rows``, which may be pairs of texts with ``pairs``; ``head`` has
    the labels and the kind of problem.
    """

    task: Answered
    rows: RowKind
    pairs: bool
    head: Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Member(Interface):
    """What takes part in a composition: its name there, its files, and what they say of it.

    It is an adapter (:class:`AdapterMember`), or a composition itself. ``params`` are its own in
    the composition, of the spec's ``member_params``.
    """

    name: str
    folder: Path
    params: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterMember(Member):
    """A member that is one adapter."""

    method: MethodSpec
    objective: ObjectiveSpec


class Members(Protocol):
    """The members of a composition, and how they are loaded.

    ``head`` names the one whose head answers for all, or that answers when nobody chooses; None
    where nobody named one, and all have the same labels.
    """

    @property
    def all(self) -> Sequence[Member]:
        """The members, in the order of the recipe."""

    @property
    def head(self) -> str | None:
        """The name of the member whose head answers."""

    @property
    def files(self) -> Path | None:
        """The folder of the composition's own files; None while it is being made."""

    @property
    def architecture(self) -> Architecture:
        """What the members' common base is, told from its config and tensor headers."""

    def find(self, name: str) -> Member:
        """Return a member by its name; raises UnknownNameError, with the nearest one."""

    def base(self, member: Member) -> LoadedBase:
        """Load a base of its own, with the member's head and tokenizer; without its adapter.

        Of a composition it is that of the member which answers by default.
        """

    def bare(self) -> LoadedBase:
        """Load the transformer that all members are on, without a head or an adapter, once.

        The loader is that of the member that answers by default, the tokenizer the base's own.
        """

    def scorer(self, member: Member) -> Scorer:
        """Load a member as it answers alone, once; what members share of the base is held once."""

    def predict(
        self,
        asked: Sequence[tuple[Member, Any]],
        progress: Callable[[int], None] | None = None,
    ) -> list[Prediction]:
        """Answer inputs, each by its member as it does alone, in order.

        Rows of members whose methods share a pass go through the base together.
        """


class AdapterMembers(Members, Protocol):
    """The members of a composition that makes one model or adapter: each is an adapter."""

    @property
    def all(self) -> Sequence[AdapterMember]:
        """The members, in the order of the recipe."""

    def find(self, name: str) -> AdapterMember:
        """As :meth:`Members.find`."""

    def method(self, member: AdapterMember) -> Any:
        """Return the implementation of a member's method."""


class AnswersComposition(Protocol):
    """Behind specs whose ``result`` is *answers*; its members may be compositions themselves."""

    def check(self, members: Members, params: Any) -> Sequence[str]:
        """Return what speaks against the members, before a weight is loaded."""

    def load(self, members: Members, params: Any) -> Scorer:
        """Return what answers by asking the members."""


@runtime_checkable
class PresentedComposition(AnswersComposition, Protocol):
    """One that is asked, or answers, otherwise than the member that answers by default."""

    def interface(self, members: Members, params: Any) -> Interface:
        """Return what is asked of the composition, and what it answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What is told of a composition's learning: by the command, in its card and its manifest.

    ``figures`` are JSON values, ``lines`` and ``table`` (a header, then rows) say them to people.
    ``warnings`` say why not to rely on it.
    """

    figures: Mapping[str, Any]
    lines: Sequence[str]
    table: Sequence[Sequence[str]] = ()
    warnings: Sequence[str] = ()


class LearningComposition(AnswersComposition, Protocol):
    """A composition that learns from examples when it is made; behind specs with ``learns``.

    ``examples`` are inputs by the names of the members that are to answer them, as their tasks
    take them. What ``fit`` wrote lies in :attr:`Members.files` when it is loaded, and may then be
    anybody's: ``load`` raises IntegrityError for files that do not fit.
    """

    def needs_examples(self, params: Any) -> bool:
        """Say whether anything is learnt with these parameters; otherwise ``fit`` is not called."""

    def check_examples(self, examples: Mapping[str, Sequence[Any]], params: Any) -> Sequence[str]:
        """Return what speaks against learning from these, before a weight is loaded."""

    def fit(
        self, members: Members, examples: Mapping[str, Sequence[Any]], params: Any, folder: Path
    ) -> Learnt:
        """Learn, and write what was learnt into an empty folder: safetensors and JSON.

        The same members, examples and parameters write the same bytes.
        """


class AdaptersComposition(Protocol):
    """Makes one model or adapter of adapters."""

    def check(self, members: AdapterMembers, params: Any) -> Sequence[str]:
        """As :meth:`AnswersComposition.check`."""

    def reference(self, members: AdapterMembers, params: Any) -> LoadedBase | None:
        """Return a model that has to answer alike, made by merging; None where that cannot be.

        Both are asked the same before the composition is published.
        """


class ModelComposition(AdaptersComposition, Protocol):
    """Behind specs whose ``result`` is *model*."""

    def load(self, members: AdapterMembers, params: Any) -> LoadedBase:
        """Return one model, in evaluation mode, with the head that is to answer."""

    def probe(self, members: AdapterMembers, params: Any) -> Mapping[str, Any] | None:
        """Return what both are asked, a model's inputs by name; None for a few random tokens."""


class AdapterComposition(AdaptersComposition, Protocol):
    """Behind specs whose ``result`` is *adapter*."""

    def write(self, members: AdapterMembers, params: Any, folder: Path) -> None:
        """Write the adapter as the members' method saves one, its head included."""


Composition = AnswersComposition | ModelComposition | AdapterComposition
"""Lets members act together, in the way that the ``result`` of its spec says."""
