"""What the implementation behind a spec must offer: protocols, not base classes.

Implementations import torch; this module does not, so that plans and help texts stay cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from adapterhub_lite.data.table import RowSet, Table
from adapterhub_lite.specs import Head, MethodSpec, ObjectiveSpec, Params, ResolvedBase, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn
    from transformers import PreTrainedModel

    from adapterhub_lite.architecture import Architecture
    from adapterhub_lite.predictions import Prediction
    from adapterhub_lite.scoring import Scored
    from adapterhub_lite.streaming.factors import Compressed, Factors, RankChoice
    from adapterhub_lite.streaming.tensors import MergeTensor

    Values = NDArray[Any]


@dataclass(slots=True)
class LoadedBase:
    """A base in memory: a transformer with its task's head, its tokenizer, where it lies.

    ``new`` names the modules that the head added and that have to learn ("classifier"); it is
    empty for a bare transformer, and for a head that the files hold. ``quantised`` says whether
    weights are stored in fewer bits than a float.
    """

    model: PreTrainedModel
    tokenizer: Any
    path: Path
    head: Head = field(default_factory=Head)
    new: tuple[str, ...] = ()
    quantised: bool = False


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


class Reader(Protocol):
    """Reads rows."""

    def accepts(self, path: Path) -> bool:
        """Say whether this reader knows the folder at ``path``; asked for folders only."""

    def read(self, path: Path, encoding: str) -> Table:
        """Read all rows; raises DataError with the place where reading failed."""


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


class MergeStrategy(Protocol):
    """Makes one tensor of several; called for each tensor, from several threads at once.

    A strategy of the capability ``whole-model`` also has ``prepare(tensors) -> Any``, called once
    with all of them; what it returns is every tensor's ``prepared``.
    """

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Return what speaks against merging with these parameters, before a number is read.

        Called for each combination that some tensor is merged with.
        """

    def merge(self, tensor: MergeTensor) -> None:
        """Go over the tensor's chunks, as often as needed, and write each chunk's result once."""


class DataStrategy(MergeStrategy, Protocol):
    """A merge strategy that computes with rows of data; behind specs with ``needs-data``.

    ``subjects`` are a :class:`~adapterhub_lite.merging.subjects.Subject` for each model, in the
    order of the models.
    """

    def check_subjects(self, subjects: Sequence[Any]) -> Sequence[str]:
        """Return what speaks against computing with these models, before a weight is loaded."""

    def prepare_with_data(
        self, tensors: Sequence[MergeTensor], subjects: Sequence[Any], params: Any
    ) -> Any:
        """Return what is every tensor's ``prepared``; called once, in place of ``prepare``.

        ``params`` are the strategy's, the same for all ``tensors``.
        """


class LowRankStrategy(Protocol):
    """Makes one LoRA update of several, as factors; behind specs of the capability ``low-rank``."""

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Return what speaks against merging with these parameters, before a number is read."""

    def merge_factors(
        self,
        factors: Sequence[Factors],
        params: Any,
        models: Sequence[Any],
        rank: RankChoice | None,
    ) -> Compressed:
        """Merge one module's updates, of which those that an adapter lacks have rank zero.

        ``models`` are each model's parameters. ``rank`` is None when nobody says: the strategy
        chooses. Raises CapabilityError for a rank that the strategy cannot give.
        """


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


class Exporter(Protocol):
    """Writes a version in another tool's format."""

    def export(self, folder: Path, destination: Path, base: ResolvedBase | None) -> None:
        """Write ``destination`` (an empty folder) from a version's folder, and check it.

        ``base`` is the base that an adapter is loaded onto; None for a whole model. Raises
        CapabilityError when the format cannot hold the version.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What a person tells an importer, as far as its spec takes it.

    ``convert`` allows a pickle to be converted in isolation. ``labels`` are those of the head's
    outputs, in their order; empty when nobody says. ``multi_label``: an input may have several.

    ``find_base`` returns the base: the person's choice, else what a stranger's folder names, as
    long as that is no path. ``find_objective`` returns the person's choice, else the one of the
    given name. Both raise UserError where neither says.
    """

    find_base: Callable[[str | None], ResolvedBase]
    find_objective: Callable[[str | None], ObjectiveSpec]
    convert: bool = False
    labels: tuple[str, ...] = ()
    multi_label: bool = False


class Importer(Protocol):
    """Makes a version out of another tool's folder, of which nothing is believed."""

    def read(self, source: Path, destination: Path, options: ImportOptions) -> Mapping[str, Any]:
        """Write our files, ``adapterhub.json`` among them, into ``destination``.

        Returns the manifest fields that the source tells; what follows from the files is added.
        """
