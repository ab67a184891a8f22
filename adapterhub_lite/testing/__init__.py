"""What plugin authors and our own tests share: the conformance kit, tiny models and data.

Names are imported on use: pytest loads this package on every start, for its plugin alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapterhub_lite.testing.classes import (
        CompositionConformance,
        ExporterConformance,
        ImporterConformance,
        LoaderConformance,
        MergeConformance,
        MethodConformance,
        MetricConformance,
        ObjectiveConformance,
        PresetConformance,
        ReaderConformance,
        RemoteConformance,
        ReportSectionConformance,
    )
    from adapterhub_lite.testing.outcomes import CheckFailedError, CheckResult, NotApplicableError
    from adapterhub_lite.testing.subject import Subject
    from adapterhub_lite.testing.suite import check_offer, check_plugin, checks_of
    from adapterhub_lite.testing.tiny import TINY_ROWS, write_tiny_model

_MODULES = {
    "CompositionConformance": "classes",
    "ExporterConformance": "classes",
    "ImporterConformance": "classes",
    "LoaderConformance": "classes",
    "MergeConformance": "classes",
    "MethodConformance": "classes",
    "MetricConformance": "classes",
    "ObjectiveConformance": "classes",
    "PresetConformance": "classes",
    "ReaderConformance": "classes",
    "RemoteConformance": "classes",
    "ReportSectionConformance": "classes",
    "CheckFailedError": "outcomes",
    "CheckResult": "outcomes",
    "NotApplicableError": "outcomes",
    "Subject": "subject",
    "check_offer": "suite",
    "check_plugin": "suite",
    "checks_of": "suite",
    "TINY_ROWS": "tiny",
    "write_tiny_model": "tiny",
}

__all__ = [
    "TINY_ROWS",
    "CheckFailedError",
    "CheckResult",
    "CompositionConformance",
    "ExporterConformance",
    "ImporterConformance",
    "LoaderConformance",
    "MergeConformance",
    "MethodConformance",
    "MetricConformance",
    "NotApplicableError",
    "ObjectiveConformance",
    "PresetConformance",
    "ReaderConformance",
    "RemoteConformance",
    "ReportSectionConformance",
    "Subject",
    "check_offer",
    "check_plugin",
    "checks_of",
    "write_tiny_model",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
