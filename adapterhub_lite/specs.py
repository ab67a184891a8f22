"""The records a plugin returns: frozen, free of torch, cheap to import.

A spec says what a plugin offers and what it can do; ``implementation="package.module:Class"`` says
where the code is and is imported only when it is used. Capabilities are declared here, once, and
the core enforces them before anything is loaded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator, WithJsonSchema

Task = Literal[
    "text-classification",
    "token-classification",
    "text-regression",
    "question-answering",
    "text-generation",
    "text2text-generation",
    "sentence-similarity",
]
"""What a trained model does, by the hub's names (``text-regression`` is ours)."""

Answered = Task | Literal["several-answers"]
"""What a version does: a task, or a composition's members answer each input, each by its own."""

Family = Literal["encoder", "decoder", "encoder-decoder"]

RowKind = Literal[
    "labelled-text",
    "tagged-words",
    "valued-text",
    "question",
    "document",
    "dialogue",
    "source-target",
    "similar-texts",
]
"""What a training row is; see :mod:`adapterhub_lite.data.examples`."""

HeadKind = Literal[
    "none",
    "sequence-classification",
    "token-classification",
    "question-answering",
    "causal-lm",
    "seq2seq-lm",
]
"""Which of transformers' model classes a base is loaded as; ``none`` is the bare transformer."""

Capability = Literal[
    "quantised-base",
    "gradient-checkpointing",
    "identity-at-init",
    "bake",
    "several-active",
    "mixed-batch",
    "shared-pass",
    "per-token",
    "fusible",
    "disable",
]

TargetRole = Literal[
    "query-value",
    "key-value",
    "value",
    "attention-output",
    "feed-forward-output",
    "norm",
]

TARGET_ROLES: Final[Mapping[TargetRole, str]] = {
    "query-value": "projections to queries and values, or the one to queries, keys and values",
    "key-value": "projections to keys and values, or the one to queries, keys and values",
    "value": "projections to values",
    "attention-output": "linear layers that end the attention",
    "feed-forward-output": "linear layers that end the feed-forward network",
    "norm": "normalisation layers",
}
"""The parts that modules play in a transformer, as far as a method chooses modules by them."""

ImportChoice = Literal["convert", "base", "labels", "multi-label", "objective"]
"""What a person can tell an importer; see :class:`~adapterhub_lite.protocols.ImportOptions`."""

CAPABILITIES: Final[Mapping[Capability, str]] = {
    "quantised-base": "trains on a base that a loader has quantised",
    "gradient-checkpointing": "trains with gradient checkpointing",
    "identity-at-init": "changes no output until a step is taken",
    "bake": "can be merged into its base exactly",
    "several-active": "several of its kind can be active together",
    "mixed-batch": "rows of one batch can use different adapters",
    "shared-pass": "adapters on one base answer a batch together, in one pass over it",
    "per-token": "tokens of one input can pass through different adapters",
    "fusible": "what several of its kind add to a layer can be weighed there, token by token",
    "disable": "can be switched off to give the base back",
}
"""What a method may declare that it can do; the core refuses what is not declared."""


MergeCapability = Literal[
    "commutative",
    "linear",
    "delta",
    "random",
    "whole-tensor",
    "whole-model",
    "needs-data",
    "low-rank",
]

MERGE_CAPABILITIES: Final[Mapping[MergeCapability, str]] = {
    "commutative": "the order of the models does not matter",
    "linear": "the result is a weighted sum of the inputs",
    "delta": "adds to the base what it makes of the task vectors alone",
    "random": "the result depends on the seed",
    "whole-tensor": "holds a whole tensor of every input in memory, as 32-bit floats",
    "whole-model": "reads every tensor once before the first is merged",
    "needs-data": "computes with rows of data: it loads the models, and keeps statistics in memory",
    "low-rank": "merges adapters as factors, and writes an adapter",
}
"""What a merge strategy may declare of itself; the core plans by it."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A trained adapter that a method's parameters name, by a registry reference or a folder.

    A plan finds it, and holds it against the recipe's base, before the method sees the parameters.
    Until then there is only ``ref``, as the recipe has it; afterwards a reference is pinned
    ("topics@prod" is "topics@3"), ``folder`` has the files, ``digest`` is the version's (empty for
    a folder that is none), and ``method`` names the method that the adapter was trained with.
    """

    ref: str
    folder: Path = Path()
    digest: str = ""
    method: str = ""


def _named(value: object) -> Adapter:
    if isinstance(value, Adapter):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("should be a registry reference, or the folder of an adapter")
    return Adapter(value)


AdapterRef = Annotated[
    Adapter,
    PlainValidator(_named),
    PlainSerializer(lambda adapter: adapter.ref, return_type=str),
    WithJsonSchema({"type": "string", "minLength": 1}),
]
"""The type of a method's parameter that names an adapter on the recipe's base.

In recipes, and wherever parameters are written down, it is the reference alone. A version that was
trained upon adapters has them for parents.
"""


class Params(BaseModel):
    """Base of every params model: unknown keys are errors, every field has a help text."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, serialize_by_alias=True
    )

    def open_targets(self) -> Mapping[str, Sequence[TargetRole]]:
        """Return which fields name modules and were left open, and the roles these are to play.

        A method's params say so. The plan fills in what a plugin knows of the architecture
        (``adapterhub_target_modules``); what nobody knows stays open, and the method decides.
        """
        return {}

    def named_adapters(self) -> tuple[Adapter, ...]:
        """Return the adapters that fields of the type :data:`AdapterRef`, or lists of it, name."""
        values = (value for _, value in self)
        listed = (value if isinstance(value, list) else [value] for value in values)
        return tuple(one for some in listed for one in some if isinstance(one, Adapter))

    def with_adapters(self, find: Callable[[Adapter], Adapter]) -> Self:
        """Return these parameters with ``find`` of each adapter that they name in its place."""

        def found(value: Any) -> Any:
            if isinstance(value, list):
                return [found(one) for one in value]
            return find(value) if isinstance(value, Adapter) else value

        return self.model_copy(update={name: found(value) for name, value in self})


class NoParams(Params):
    """For a plugin that takes no parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A library that a plugin needs and that may be absent: its import name and its pip line."""

    module: str
    install: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What all specs have: a name, one line of what, where the code is, what it needs."""

    name: str
    summary: str
    implementation: str = ""
    requires: tuple[Requirement, ...] = ()
    paper: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodSpec(Spec):
    """Which parameters learn. ``implementation`` is a :class:`~adapterhub_lite.protocols.Method`.

    ``families`` and ``heads``: what it can be attached to; ``refusals`` says of other heads why
    not. ``needs_base``: what it saves is no
    whole model, but an adapter that is loaded onto the base it was trained on. ``learning_rate``:
    the peak rate that an objective takes when the recipe gives none. ``upon``: it is trained upon
    adapters that its params name (:data:`AdapterRef`), and this is what their methods have to
    declare; its class is then called with a function that returns the implementation of such a
    method by its name.
    """

    params: type[Params] = NoParams
    families: frozenset[Family] = frozenset({"encoder", "decoder", "encoder-decoder"})
    heads: frozenset[HeadKind] = frozenset(get_args(HeadKind))
    capabilities: frozenset[Capability] = frozenset()
    refusals: Mapping[HeadKind, str] = field(default_factory=dict)
    needs_base: bool = True
    learning_rate: float = 5e-5
    upon: Capability | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveSpec(Spec):
    """What is optimised. ``implementation`` is a :class:`~adapterhub_lite.protocols.Objective`.

    ``rows``: what a training row is. ``families``: architectures it can train. ``head``: as what
    the base is loaded. ``multi_label``: rows may carry several labels. ``pairs``: a row may have
    a second text. ``adopts``: it can answer with a model that was trained elsewhere. ``preview``
    ("package.module:function") is a :class:`~adapterhub_lite.protocols.Preview`; without one a plan
    shows rows as they are in the data.
    """

    task: Task
    params: type[Params] = NoParams
    rows: RowKind = "labelled-text"
    families: frozenset[Family]
    head: HeadKind = "none"
    multi_label: bool = False
    pairs: bool = False
    adopts: bool = False
    preview: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderSpec(Spec):
    """In which precision a base is loaded, by a :class:`~adapterhub_lite.protocols.Loader`.

    ``bytes_per_parameter`` is for the memory estimate: what a weight of a linear layer takes.
    ``other_bytes`` is what one of an embedding, a norm or the output layer takes, where that
    differs. ``quantised`` bases take only methods that declare the capability ``quantised-base``.
    ``needs_gpu``: it cannot train on a CPU.
    """

    params: type[Params] = NoParams
    quantised: bool = False
    needs_gpu: bool = False
    bytes_per_parameter: float
    other_bytes: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetSpec(Spec):
    """A named point in the space of axes; a recipe's own keys win over it.

    ``recipe`` holds the keys ``loader``, ``method`` and ``objective`` as a recipe writes them.
    """

    recipe: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderSpec(Spec):
    """Turns a file or folder into rows, by a :class:`~adapterhub_lite.protocols.Reader`.

    ``suffixes``: endings of files it reads (".csv"); ``folders``: it also judges folders.
    """

    suffixes: tuple[str, ...] = ()
    folders: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec(Spec):
    """A number from predictions. ``implementation``: :class:`~adapterhub_lite.protocols.Metric`.

    ``signature`` ("package.module:function") returns a line that says how it was computed, for
    figures that depend on a tokeniser or a version; it is stored beside the value.
    """

    tasks: frozenset[Task]
    signature: str = ""
    greater_is_better: bool = True
    multi_label: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeSpec(Spec):
    """How models become one. ``implementation``: :class:`~adapterhub_lite.protocols.MergeStrategy`.

    ``formula`` says what is computed, in one line. ``params`` are the merge's; ``model_params``
    those of each model, which may also be given once for all; the names of the two do not overlap.
    ``base``: whether the models' common base is needed, can be used, or is of no use. ``models``:
    how many inputs beside the base it takes, at least and at most (0: any number).
    """

    formula: str
    params: type[Params] = NoParams
    model_params: type[Params] = NoParams
    base: Literal["needed", "optional", "unused"] = "needed"
    models: tuple[int, int] = (1, 0)
    capabilities: frozenset[MergeCapability] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositionSpec(Spec):
    """How adapters act together, by a :class:`~adapterhub_lite.protocols.Composition`.

    ``result``: what comes of the members: one *adapter* that takes their place, one *model* with
    all of them active, or *answers* of members that are asked alone. ``params`` are the
    composition's, ``member_params`` each member's own. ``members``: how many it takes, at least
    and at most (0: any number). ``needs``: what the method of every member has to declare.
    ``asks_all``: of answers, that every member answers each input, so that none is the default.
    ``learns``: of answers, that it learns from examples when it is made; the implementation is a
    :class:`~adapterhub_lite.protocols.LearningComposition`.
    """

    result: Literal["adapter", "model", "answers"]
    params: type[Params] = NoParams
    member_params: type[Params] = NoParams
    members: tuple[int, int] = (2, 0)
    needs: frozenset[Capability] = frozenset()
    asks_all: bool = False
    learns: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterSpec(Spec):
    """Writes a version in somebody's format. :class:`~adapterhub_lite.protocols.Exporter`.

    ``takes``: what it can write. To one that takes whole models alone an adapter goes merged into
    its base. ``deploys``: what it wrote can be asked on this machine and compared with the version;
    the implementation is a :class:`~adapterhub_lite.protocols.Target`.
    """

    tasks: frozenset[Task]
    params: type[Params] = NoParams
    takes: frozenset[Literal["model", "adapter"]] = frozenset({"model", "adapter"})
    deploys: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImporterSpec(Spec):
    """Reads somebody's folder into a version. :class:`~adapterhub_lite.protocols.Importer`.

    ``takes``: what it can be told; anything else is refused. One that takes an ``objective`` writes
    what a method saves, and the objective adds the rest: it adopts the model. ``recognised_by``:
    sets of files, of which a folder of this format has one whole; of two formats that recognise a
    folder the one wins whose set is larger and holds the other's.
    """

    takes: frozenset[ImportChoice] = frozenset()
    recognised_by: tuple[frozenset[str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSectionSpec(Spec):
    """Adds to the HTML report of a run. A :class:`~adapterhub_lite.reports.sections.ReportSection`.

    ``tasks``: in the reports of which tasks it is asked.
    """

    tasks: frozenset[Task] = frozenset(get_args(Task))


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSpec(Spec):
    """A kind of place that versions are pushed to and pulled from.

    ``implementation`` is a function that opens an address, a
    :class:`~adapterhub_lite.remotes.contract.RemoteOpener`; it is chosen by what stands before the
    address's first colon, one of ``schemes``.
    """

    schemes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedBase:
    """A base model found on this machine: a folder with ``config.json`` and safetensors.

    ``ref`` is what the user wrote; ``revision`` pins it where its source has revisions;
    ``source`` is the kind of place it came from ("path", "packaged", "hub", "registry").
    """

    ref: str
    path: str
    source: str
    revision: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """As what a base is loaded: the model class, and for new layers their labels.

    ``problem`` says what the labels of a sequence classification are; it is empty elsewhere.
    """

    kind: HeadKind = "none"
    labels: tuple[str, ...] = ()
    problem: Literal["", "single-label", "multi-label", "regression"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceCase:
    """How the conformance kit is to check an offer: ``kind`` and ``name`` say which.

    ``params`` stand in for defaults that do not suit a model of 32 numbers a token. Kinds without
    parameters have there what they are tried on: a reader or importer ``example``, an exporter
    ``recipe``, a remote ``address``; a composition has its ``members`` beside its own. The modules
    of their checks tell more. ``adapters`` are those that a method's params name: for each name the
    method that the kit makes it with, as a recipe writes that. Of ``expected_failures`` each names
    a check that cannot pass, and says why.
    """

    kind: str
    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    adapters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    expected_failures: Mapping[str, str] = field(default_factory=dict)
