"""The records a plugin returns: frozen, free of torch, cheap to import.

A spec says what a plugin offers and what it can do; ``implementation="package.module:Class"`` says
where the code is and is imported only when it is used. Capabilities are declared here, once, and
the core enforces them before anything is loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Task = Literal["text-classification"]
Family = Literal["encoder", "decoder", "encoder-decoder"]


class Params(BaseModel):
    """Base of every params model: unknown keys are errors, every field has a help text."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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

    ``quantised_base``: can train on a quantised base. ``identity_at_init``: attaching it changes
    no output until a step is taken. ``families``: architectures it can be attached to.
    """

    params: type[Params] = NoParams
    families: frozenset[Family] = frozenset({"encoder", "decoder", "encoder-decoder"})
    quantised_base: bool = False
    identity_at_init: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveSpec(Spec):
    """What is optimised. ``implementation`` is a :class:`~adapterhub_lite.protocols.Objective`.

    ``families``: architectures it can train. ``multi_label``: rows may carry several labels.
    """

    task: Task
    params: type[Params] = NoParams
    families: frozenset[Family]
    multi_label: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderSpec(Spec):
    """In which precision a base is loaded, by a :class:`~adapterhub_lite.protocols.Loader`.

    ``bytes_per_parameter`` is for the memory estimate; ``quantised`` bases take only methods
    that declare ``quantised_base``.
    """

    params: type[Params] = NoParams
    quantised: bool = False
    bytes_per_parameter: float


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
    """A number from predictions. ``implementation``: :class:`~adapterhub_lite.protocols.Metric`."""

    tasks: frozenset[Task]
    greater_is_better: bool = True
    multi_label: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterSpec(Spec):
    """Writes a version in somebody's format. :class:`~adapterhub_lite.protocols.Exporter`."""

    tasks: frozenset[Task]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImporterSpec(Spec):
    """Reads somebody's folder into a version. :class:`~adapterhub_lite.protocols.Importer`."""


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
