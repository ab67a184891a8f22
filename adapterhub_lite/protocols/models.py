"""What a method and a loader must offer: a base in memory, and what learns of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from adapterhub_lite.specs import Head, Params, ResolvedBase

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from adapterhub_lite.architecture import Architecture


@dataclass(slots=True)
class LoadedBase:
    """A base in memory: a transformer with its task's head, its tokenizer, where it lies.

    ``new`` names the modules that the head added and that have to learn ("classifier"); it is
    empty for a bare transformer, and for a head that the files hold. ``drawn`` names tensors of
    them that the files lack, and that are random therefore. ``quantised`` says whether weights are
    stored in fewer bits than a float.
    """

    model: PreTrainedModel
    tokenizer: Any
    path: Path
    head: Head = field(default_factory=Head)
    new: tuple[str, ...] = ()
    quantised: bool = False
    drawn: tuple[str, ...] = ()


@dataclass(slots=True)
class Attached:
    """A base with a method attached: ``trainable`` names the parameters that learn.

    ``model`` takes and gives what the base's model does; it may be wrapped. ``learning_rate`` is
    the method's own, for a recipe that gives none. A method that follows the training sets
    ``on_start``, told the number of optimiser steps, and ``on_step``, told the number of the step
    just taken, from 1, before gradients are cleared.
    """

    model: nn.Module
    tokenizer: Any
    path: Path
    trainable: frozenset[str]
    head: Head = field(default_factory=Head)
    learning_rate: float = 5e-5
    on_start: Callable[[int], None] | None = None
    on_step: Callable[[int], None] | None = None


class Loader(Protocol):
    """Loads a base in one precision."""

    def load(self, base: ResolvedBase, head: Head, params: Params, device: str) -> LoadedBase:
        """Load the model class that ``head`` names, and the tokenizer, in evaluation mode.

        New layers are drawn from torch's global generator and stay in floating point. ``device``
        is "cpu", "cuda" or "auto".
        """

    def dequantise(self, base: LoadedBase) -> LoadedBase:
        """Return the same weights in floating point, as the quantised base computes with them."""


class Method(Protocol):
    """Decides which parameters learn; the modules in ``LoadedBase.new`` always do."""

    def check(self, architecture: Architecture, head: Head, params: Params) -> Sequence[str]:
        """Return what speaks against attaching, told from the config and tensor headers alone."""

    def count_trainable(self, architecture: Architecture, head: Head, params: Params) -> int:
        """Return how many parameters would learn, without loading a weight."""

    def attach(self, base: LoadedBase, params: Params) -> Attached:
        """Attach to a loaded base; exactly the parameters named ``trainable`` require grad."""

    def save(self, attached: Attached, folder: Path) -> None:
        """Write what was learnt: safetensors and JSON; and the tokenizer's files.

        With ``needs_base`` that is an adapter and the head's layers, else a whole model that
        ``from_pretrained`` loads.
        """

    def load(self, base: LoadedBase, folder: Path) -> LoadedBase:
        """Put what :meth:`save` wrote onto a freshly loaded base, in evaluation mode.

        Without ``needs_base`` the base was loaded from ``folder`` itself and is returned.
        """

    def bake(self, base: LoadedBase, folder: Path) -> LoadedBase:
        """Merge what :meth:`save` wrote into a base in floating point; a plain model comes out.

        Called only with the capability ``bake``. Raises CapabilityError where this adapter's
        settings do not allow it.
        """


class TogetherMethod(Method, Protocol):
    """A method whose adapters act together; behind specs of the capability ``several-active``.

    ``folders`` are what :meth:`save` wrote, by the members' names and in their order.
    """

    def check_together(
        self, folders: Mapping[str, Path], how: Literal["stack", "average"]
    ) -> Sequence[str]:
        """Return what speaks against it, told from the adapters' files alone."""

    def load_stack(self, base: LoadedBase, folders: Mapping[str, Path], head: str) -> LoadedBase:
        """Put adapters onto a fresh base, all active, each upon those before it.

        ``head`` names the member whose layers of the head, and of all that is trained whole, are
        taken. Raises IntegrityError for files that do not fit the base.
        """

    def write_average(
        self,
        folders: Mapping[str, Path],
        weights: Mapping[str, float],
        heads: Mapping[str, float],
        folder: Path,
    ) -> None:
        """Write one adapter: for the same input of a layer it adds the weighted sum of theirs.

        Nothing is approximated. ``heads`` are the weights of what is trained whole.
        """
