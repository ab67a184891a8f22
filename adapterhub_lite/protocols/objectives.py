"""What an objective must offer: training, scoring, showing what it trains on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from adapterhub_lite.data.table import RowSet, Table
from adapterhub_lite.protocols.models import Attached, LoadedBase
from adapterhub_lite.specs import Head, Params

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from adapterhub_lite.predictions import Prediction
    from adapterhub_lite.scoring import Scored

    Values = NDArray[Any]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What a run trains on. ``validation`` rows choose and stop; they are never trained on.

    ``sources`` says from which of several data sets each training row is, where there are several.
    """

    train: RowSet
    validation: RowSet | None = None
    sources: tuple[str, ...] = ()


class Run(Protocol):
    """What a running objective sees of the run it is part of.

    ``folder`` is the seed's own, for checkpoints; ``resume`` says to go on from the last one there.
    """

    seed: int
    folder: Path
    resume: bool

    def emit(self, event: str, **fields: Any) -> None:
        """Append an event to ``events.jsonl`` and tell whoever follows the run."""

    def step(self, stage: str, done: int, total: int, **figures: float) -> None:
        """Report progress of a stage; ``figures`` (loss, rate) go to the curves."""


class Scorer(Protocol):
    """A trained model that answers, as an objective returns and reloads it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels; empty for tasks without labels."""

    def score(self, rows: RowSet, progress: Callable[[int], None] | None = None) -> Scored:
        """Answer rows whose truth is known, for metrics; ``progress`` gets counts of rows."""

    def predict(
        self, inputs: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> list[Prediction]:
        """Answer ``inputs``: texts, pairs of texts or messages, as the task takes them."""


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

    def check(self, rows: RowSet, params: Params) -> Sequence[str]:
        """Return what speaks against training on these rows, before a model is loaded."""

    def head(self, rows: RowSet, params: Params) -> Head:
        """Return as what the base is to be loaded for these rows."""

    def fit(self, attached: Attached, data: TrainingData, params: Params, run: Run) -> Outcome:
        """Train; may have several stages. Raises NonFiniteError when the loss is not finite."""

    def save(self, outcome: Outcome, folder: Path) -> None:
        """Add to the method's folder what scoring needs beyond the transformer."""

    def load(self, base: LoadedBase, folder: Path) -> Scorer:
        """Rebuild the scorer from a reloaded model and the folder."""

    def adopt(self, base: LoadedBase, params: Params) -> Scorer:
        """Return the scorer of a model that was trained elsewhere, for :meth:`save`.

        Called only where the spec says ``adopts``; without rows the params decide everything.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenisedSample:
    """A row, or a window of one, as a model is trained on it.

    ``row`` is its number among the rows given; ``part`` names which of a row's texts it is, where
    a model reads them apart. ``ids`` are tokens, an encoder-decoder's source and target one behind
    the other; ``learnt`` says which of them have a loss of their own, and is empty where the loss
    is the whole row's. ``labels`` has a token's label, or nothing, for each; ``target`` is what is
    learnt of the whole row. ``cut`` counts the tokens that the length limit cost.
    """

    row: int
    ids: tuple[int, ...]
    learnt: tuple[bool, ...] = ()
    labels: tuple[str, ...] = ()
    part: str = ""
    target: str = ""
    cut: int = 0


class Preview(Protocol):
    """Shows rows as an objective trains on them, before a weight is loaded."""

    def __call__(
        self, base: LoadedBase, rows: RowSet, params: Any, run: Run
    ) -> Sequence[TokenisedSample]:
        """Tokenise all of ``rows`` as training does; ``run`` hears of what is cut or left out.

        ``base`` has a tokenizer, and its model is on torch's meta device: modules and config
        without weights. Raises what training would.
        """


class Metric(Protocol):
    """A number from what is true and what was answered."""

    def __call__(self, truth: Values, decision: Values, scores: Values) -> float:
        """Score rows; the three arrays are those of :class:`~adapterhub_lite.scoring.Scored`.

        Returns NaN where it is not defined on these rows: it is left out then. A metric that also
        has ``prepare`` (:class:`~adapterhub_lite.evaluation.PreparedMetric`) is resampled at little
        cost.
        """


class Reader(Protocol):
    """Reads rows."""

    def accepts(self, path: Path) -> bool:
        """Say whether this reader knows the folder at ``path``; asked for folders only."""

    def read(self, path: Path, encoding: str) -> Table:
        """Read all rows; raises DataError with the place where reading failed."""
