"""What a method and a loader must offer: a base in memory, and what learns of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from adapterhub_lite.specs import Head, Params, ResolvedBase

if TYPE_CHECKING:
    from torch import Tensor, nn
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
    just taken, from 1, before gradients are cleared. ``penalty`` is a term of the method's own,
    added to the loss once a step, whatever the number of rows: a regularisation.
    """

    model: nn.Module
    tokenizer: Any
    path: Path
    trainable: frozenset[str]
    head: Head = field(default_factory=Head)
    learning_rate: float = 5e-5
    on_start: Callable[[int], None] | None = None
    on_step: Callable[[int], None] | None = None
    penalty: Callable[[], Tensor] | None = None


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


class TokenOwners(Protocol):
    """Tells which of several adapters each token belongs to."""

    def __call__(self, layer: str, given: Tensor) -> Tensor:
        """Return the adapters' numbers, shape (rows, tokens), for what a layer was just given.

        ``given`` has the shape (rows, tokens, width). Raises CapabilityError where the tokens of
        the running pass are not those that the layer called ``layer`` is given.
        """


class SplitMethod(TogetherMethod, Protocol):
    """A method whose adapters share out a text's tokens; behind specs of ``per-token``.

    Such a spec declares ``several-active``, too; ``folders`` are as for :class:`TogetherMethod`.
    """

    def check_split(self, folders: Mapping[str, Path]) -> Sequence[str]:
        """Return what speaks against it, told from the adapters' files alone."""

    def load_split(
        self, base: LoadedBase, folders: Mapping[str, Path], head: str, owners: TokenOwners
    ) -> LoadedBase:
        """Put adapters onto a fresh base; each token is changed by its owner alone.

        ``owners`` has the numbers of ``folders``, from 0, and is asked in every layer that an
        adapter changes. ``head`` as in :meth:`load_stack`. Raises IntegrityError for files that do
        not fit the base.
        """


class FusibleMethod(TogetherMethod, Protocol):
    """A method whose adapters can be weighed in each layer; behind specs of ``fusible``.

    Such a spec declares ``several-active``, too; ``folders`` are as for :class:`TogetherMethod`.
    """

    def check_fusible(self, folders: Mapping[str, Path]) -> Sequence[str]:
        """Return what speaks against it, told from the adapters' files alone."""

    def load_fusible(
        self, base: LoadedBase, folders: Mapping[str, Path], mixture: Callable[[int], nn.Module]
    ) -> None:
        """Put adapters onto a fresh base beside one another, frozen, and let mixtures weigh them.

        ``mixture(width)`` makes what decides in a layer of so many outputs. It becomes that layer's
        module ``mixture``, and is called with what the frozen layer puts out (…, width) and what
        each adapter alone would add to it (…, adapters, width), in the order of ``folders``; it
        returns what is added (…, width). An adapter that leaves a layer alone adds zeros there.
        Heads are left behind. The base may be one without weights. Raises IntegrityError for files
        that do not fit it, and CapabilityError for an adapter that trained more than a head whole.
        """
