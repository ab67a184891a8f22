"""What all specs have, and those of training: methods, objectives, loaders, presets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from adapterhub_lite.specs.params import NoParams, Params
from adapterhub_lite.specs.words import Capability, Family, HeadKind, RowKind, Task


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
