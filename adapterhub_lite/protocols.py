"""What the implementation behind a spec must offer: protocols, not base classes.

Implementations import torch; this module does not, so that plans and help texts stay cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from adapterhub_lite.data.table import Table, TextSet
from adapterhub_lite.specs import Params, ResolvedBase

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from adapterhub_lite.architecture import Architecture

    Floats = NDArray[np.float64]


@dataclass(slots=True)
class LoadedBase:
    """A base in memory: the bare transformer (no task head), its tokenizer, where it lies."""

    model: PreTrainedModel
    tokenizer: Any
    path: Path


@dataclass(slots=True)
class Attached:
    """A base with a method attached: ``trainable`` names the parameters that learn."""

    model: PreTrainedModel
    tokenizer: Any
    path: Path
    trainable: frozenset[str]


class Run(Protocol):
    """What a running objective sees of the run it is part of."""

    seed: int

    def emit(self, event: str, **fields: Any) -> None:
        """Append an event to ``events.jsonl`` and tell whoever follows the run."""

    def step(self, stage: str, done: int, total: int, **figures: float) -> None:
        """Report progress of a stage; ``figures`` (loss, rate) go to the curves."""


class Reader(Protocol):
    """Reads rows."""

    def accepts(self, path: Path) -> bool:
        """Say whether this reader knows the folder at ``path``; asked for folders only."""

    def read(self, path: Path, encoding: str) -> Table:
        """Read all rows; raises DataError with the place where reading failed."""


class Loader(Protocol):
    """Loads a base in one precision."""

    def load(self, base: ResolvedBase, params: Params) -> LoadedBase:
        """Load the transformer and its tokenizer, in evaluation mode, on the run's device."""


class Method(Protocol):
    """Decides which parameters learn."""

    def check(self, architecture: Architecture, params: Params) -> Sequence[str]:
        """Return what speaks against attaching, told from the config and tensor headers alone."""

    def count_trainable(self, architecture: Architecture, params: Params) -> int:
        """Return how many parameters would learn, told from the tensor headers alone."""

    def attach(self, base: LoadedBase, params: Params) -> Attached:
        """Attach to a loaded base; exactly the parameters named ``trainable`` require grad."""

    def save(self, attached: Attached, folder: Path) -> None:
        """Write a folder that ``from_pretrained`` loads: safetensors, JSON and tokenizer files."""

    def load(self, folder: Path, device: str) -> LoadedBase:
        """Load what :meth:`save` wrote into fresh objects, in evaluation mode."""


class Scorer(Protocol):
    """A trained model that scores texts, as an objective returns and reloads it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, in the order of the probability columns."""

    @property
    def multi_label(self) -> bool:
        """Whether a text may get several labels, each with its own probability."""

    @property
    def threshold(self) -> float:
        """The probability from which a label counts, where a text may get several."""

    def predict_proba(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> Floats:
        """Return probabilities, shape ``(len(texts), len(classes))``; ``progress`` gets counts."""


@dataclass(slots=True)
class Outcome:
    """What an objective made of one training set.

    ``scorer`` is the model that was kept, ``baseline`` the reference it was compared with (None
    where there is none); ``kept`` names which of ``candidates`` was kept and ``reason`` says why.
    ``selection`` is the score by which it was chosen; ``candidates`` maps names to such scores.
    ``hyperparameters`` are the values that were resolved or searched.
    """

    scorer: Scorer
    baseline: Scorer | None
    kept: str
    reason: str
    selection: float | None
    candidates: Mapping[str, float] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


class Objective(Protocol):
    """Optimises something, and knows how to save, reload and score the result."""

    def check(self, data: TextSet, params: Params) -> Sequence[str]:
        """Return what speaks against training on these rows, before a model is loaded."""

    def fit(self, attached: Attached, data: TextSet, params: Params, run: Run) -> Outcome:
        """Train; may have several stages. Raises NonFiniteError when the loss is not finite."""

    def save(self, outcome: Outcome, folder: Path) -> None:
        """Add to the method's folder what scoring needs beyond the transformer."""

    def load(self, base: LoadedBase, folder: Path) -> Scorer:
        """Rebuild the scorer from a reloaded transformer and the folder."""


class Metric(Protocol):
    """A number from labels and probabilities."""

    def __call__(
        self, truth: NDArray[np.bool_], decision: NDArray[np.bool_], probabilities: Floats
    ) -> float:
        """Score rows: what is true, what was decided, how probable; all ``(rows, classes)``."""


class Exporter(Protocol):
    """Writes a version in another tool's format."""

    def export(self, folder: Path, destination: Path) -> None:
        """Write ``destination`` (an empty folder) from a version's folder."""


class Importer(Protocol):
    """Makes a version out of another tool's folder."""

    def read(self, source: Path, destination: Path, *, convert: bool) -> Mapping[str, Any]:
        """Write our files into ``destination``; return the manifest fields that the source tells.

        ``convert`` allows a pickle to be converted in isolation; without it a pickle is refused.
        """
