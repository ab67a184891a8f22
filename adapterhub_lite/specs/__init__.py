"""The records a plugin returns: frozen, free of torch, cheap to import.

A spec says what a plugin offers and what it can do; ``implementation="package.module:Class"`` says
where the code is and is imported only when it is used. Capabilities are declared here, once, and
the core enforces them before anything is loaded.
"""

from adapterhub_lite.specs.combining import CompositionSpec, MergeSpec
from adapterhub_lite.specs.data import MetricSpec, ReaderSpec, ReportSectionSpec
from adapterhub_lite.specs.exchange import ExporterSpec, ImporterSpec, RemoteSpec
from adapterhub_lite.specs.params import Adapter, AdapterRef, NoParams, Params
from adapterhub_lite.specs.records import ConformanceCase, Head, ResolvedBase
from adapterhub_lite.specs.training import (
    LoaderSpec,
    MethodSpec,
    ObjectiveSpec,
    PresetSpec,
    Requirement,
    Spec,
)
from adapterhub_lite.specs.words import (
    CAPABILITIES,
    MERGE_CAPABILITIES,
    TARGET_ROLES,
    Answered,
    Capability,
    Family,
    HeadKind,
    ImportChoice,
    MergeCapability,
    RowKind,
    TargetRole,
    Task,
)

__all__ = [
    "CAPABILITIES",
    "MERGE_CAPABILITIES",
    "TARGET_ROLES",
    "Adapter",
    "AdapterRef",
    "Answered",
    "Capability",
    "CompositionSpec",
    "ConformanceCase",
    "ExporterSpec",
    "Family",
    "Head",
    "HeadKind",
    "ImportChoice",
    "ImporterSpec",
    "LoaderSpec",
    "MergeCapability",
    "MergeSpec",
    "MethodSpec",
    "MetricSpec",
    "NoParams",
    "ObjectiveSpec",
    "Params",
    "PresetSpec",
    "ReaderSpec",
    "RemoteSpec",
    "ReportSectionSpec",
    "Requirement",
    "ResolvedBase",
    "RowKind",
    "Spec",
    "TargetRole",
    "Task",
]
