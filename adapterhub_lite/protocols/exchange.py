"""What an exporter and an importer must offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from adapterhub_lite.specs import Head, MethodSpec, ObjectiveSpec, Params, ResolvedBase, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from adapterhub_lite.protocols.models import Method


class Exporter(Protocol):
    """Writes a version in another tool's format."""

    def export(
        self, folder: Path, destination: Path, base: ResolvedBase | None, params: Params
    ) -> None:
        """Write ``destination`` (an empty folder) from a version's folder.

        ``base`` is the base that an adapter is loaded onto; None for a whole model. Raises
        CapabilityError when the format cannot hold the version, and SelfTestError when what was
        written is not what was meant, as far as it checks that itself.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far the answers of what was written may be from the version's.

    ``difference``: of two numbers at most, for each unit of the largest where that is over 1.
    ``agreement``: the share of decisions that are the same, at least.
    """

    difference: float = 1e-4
    agreement: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What a folder is asked, and what the version is that it was made of.

    ``base`` is the base that an adapter is loaded onto; None for a whole model. An input is what
    the version's rows ask: a text, a pair of texts, words or messages.
    """

    task: Task
    head: Head
    base: ResolvedBase | None
    inputs: Sequence[Any]


class Target(Exporter, Protocol):
    """An exporter whose folders can be asked on this machine, so that versions are deployed to it.

    The core asks version and folder the same, and compares; a target only answers.
    """

    def answers(
        self, destination: Path, asked: Questions, params: Params
    ) -> Sequence[NDArray[Any]]:
        """Answer each input by what :meth:`export` wrote to ``destination``, and by nothing else.

        An answer is by task: of a classifier its logits (labels,), of a regression the value (1,),
        of similar texts the embedding (width,), else the logits (tokens, outputs).
        """

    def tolerance(self, params: Params) -> Tolerance:
        """Return how far the answers may be off: exact formats are held to the default."""

    def usage(self, destination: Path) -> str:
        """Return the one line of a shell that uses the folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What a person tells an importer, as far as its spec takes it.

    ``convert`` allows a pickle to be converted in isolation. ``labels`` are those of the head's
    outputs, in their order; empty when nobody says. ``multi_label``: an input may have several.

    ``find_base`` returns the base: the person's choice, else what a stranger's folder names, as
    long as that is no path. ``find_objective`` returns the person's choice, else the one of the
    given name. Both raise UserError where neither says. ``find_method`` returns the method of a
    name and what stands behind it; it raises UserError where no plugin offers it.
    """

    find_base: Callable[[str | None], ResolvedBase]
    find_objective: Callable[[str | None], ObjectiveSpec]
    find_method: Callable[[str], tuple[MethodSpec, Method]]
    convert: bool = False
    labels: tuple[str, ...] = ()
    multi_label: bool = False


class Importer(Protocol):
    """Makes a version out of another tool's folder, of which nothing is believed."""

    def read(self, source: Path, destination: Path, options: ImportOptions) -> Mapping[str, Any]:
        """Write our files, ``adapterhub.json`` among them, into ``destination``.

        Returns the manifest fields that the source tells; what follows from the files is added.
        """
