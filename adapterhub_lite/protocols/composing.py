"""What a composition must offer, and what it sees of its members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from adapterhub_lite.protocols.models import LoadedBase
from adapterhub_lite.protocols.objectives import Scorer
from adapterhub_lite.specs import Head, MethodSpec, ObjectiveSpec, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An adapter of a composition: its name there, its files, and what they say of it.

    ``params`` are its own in the composition, of the spec's ``member_params``.
    """

    name: str
    folder: Path
    task: Task
    method: MethodSpec
    objective: ObjectiveSpec
    head: Head
    params: Any


class Members(Protocol):
    """The members of a composition, and how they are loaded.

    ``head`` names the one whose head answers for all; None where nobody named one, and all have
    the same labels.
    """

    @property
    def all(self) -> Sequence[Member]:
        """The members, in the order of the recipe."""

    @property
    def head(self) -> str | None:
        """The name of the member whose head answers."""

    def find(self, name: str) -> Member:
        """Return a member by its name; raises UnknownNameError, with the nearest one."""

    def method(self, member: Member) -> Any:
        """Return the implementation of a member's method."""

    def base(self, member: Member) -> LoadedBase:
        """Load a base of its own, with the member's head and tokenizer; without its adapter."""

    def scorer(self, member: Member) -> Scorer:
        """Load a member as it answers alone, once; what members share of the base is held once."""


class Composition(Protocol):
    """Lets adapters act together."""

    def check(self, members: Members, params: Any) -> Sequence[str]:
        """Return what speaks against it, before a weight is loaded."""


class AnswersComposition(Composition, Protocol):
    """Behind specs whose ``result`` is *answers*."""

    def load(self, members: Members, params: Any) -> Scorer:
        """Return what answers by asking the members."""


class ModelComposition(Composition, Protocol):
    """Behind specs whose ``result`` is *model*."""

    def load(self, members: Members, params: Any) -> LoadedBase:
        """Return one model, in evaluation mode, with the head that is to answer."""

    def reference(self, members: Members, params: Any) -> LoadedBase | None:
        """Return a model that has to answer alike, made by merging; None where that cannot be.

        Both are asked the same before the composition is published.
        """


class AdapterComposition(Composition, Protocol):
    """Behind specs whose ``result`` is *adapter*."""

    def write(self, members: Members, params: Any, folder: Path) -> None:
        """Write the adapter as the members' method saves one, its head included."""

    def reference(self, members: Members, params: Any) -> LoadedBase | None:
        """As :meth:`ModelComposition.reference`."""
