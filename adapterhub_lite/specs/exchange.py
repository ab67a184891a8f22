"""Specs of how versions come and go: exporters, importers, remotes."""

from dataclasses import dataclass
from typing import Literal

from adapterhub_lite.specs.params import NoParams, Params
from adapterhub_lite.specs.training import Spec
from adapterhub_lite.specs.words import ImportChoice, Task


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
class RemoteSpec(Spec):
    """A kind of place that versions are pushed to and pulled from.

    ``implementation`` is a function that opens an address, a
    :class:`~adapterhub_lite.remotes.contract.RemoteOpener`; it is chosen by what stands before the
    address's first colon, one of ``schemes``.
    """

    schemes: tuple[str, ...]
