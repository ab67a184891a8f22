"""What the implementation behind a spec must offer: protocols, not base classes.

Implementations import torch; this module does not, so that plans and help texts stay cheap.
"""

from adapterhub_lite.protocols.composing import (
    AdapterComposition,
    AnswersComposition,
    Composition,
    Member,
    Members,
    ModelComposition,
)
from adapterhub_lite.protocols.exchange import Exporter, Importer, ImportOptions
from adapterhub_lite.protocols.merging import DataStrategy, LowRankStrategy, MergeStrategy
from adapterhub_lite.protocols.models import Attached, LoadedBase, Loader, Method, TogetherMethod
from adapterhub_lite.protocols.objectives import (
    Metric,
    Objective,
    Outcome,
    Preview,
    Reader,
    Run,
    Scorer,
    TokenisedSample,
    TrainingData,
)

__all__ = [
    "AdapterComposition",
    "AnswersComposition",
    "Attached",
    "Composition",
    "DataStrategy",
    "Exporter",
    "ImportOptions",
    "Importer",
    "LoadedBase",
    "Loader",
    "LowRankStrategy",
    "Member",
    "Members",
    "MergeStrategy",
    "Method",
    "Metric",
    "ModelComposition",
    "Objective",
    "Outcome",
    "Preview",
    "Reader",
    "Run",
    "Scorer",
    "TogetherMethod",
    "TokenisedSample",
    "TrainingData",
]
