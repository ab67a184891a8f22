"""Specs of what reads rows, and of what measures and shows how a model answers them."""

from dataclasses import dataclass
from typing import get_args

from adapterhub_lite.specs.training import Spec
from adapterhub_lite.specs.words import Task


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
class ReportSectionSpec(Spec):
    """Adds to the HTML report of a run. A :class:`~adapterhub_lite.reports.sections.ReportSection`.

    ``tasks``: in the reports of which tasks it is asked.
    """

    tasks: frozenset[Task] = frozenset(get_args(Task))
