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
from adapterhub_lite.protocols.exchange import (
    Exporter,
    Importer,
    ImportOptions,
    Questions,
    Target,
    Tolerance,
)
from adapterhub_lite.protocols.generation import GenerationOptions
from adapterhub_lite.protocols.merging import DataStrategy, LowRankStrategy, MergeStrategy
from adapterhub_lite.protocols.mixing import (
    AdapterHost,
    EmbeddingScorer,
    HeldAdapter,
    MixedMethod,
    MixedScorer,
    Part,
    WritingScorer,
)
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
    "AdapterHost",
    "AnswersComposition",
    "Attached",
    "Composition",
    "DataStrategy",
    "EmbeddingScorer",
    "Exporter",
    "GenerationOptions",
    "HeldAdapter",
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
    "MixedMethod",
    "MixedScorer",
    "ModelComposition",
    "Objective",
    "Outcome",
    "Part",
    "Preview",
    "Questions",
    "Reader",
    "Run",
    "Scorer",
    "Target",
    "TogetherMethod",
    "TokenisedSample",
    "Tolerance",
    "TrainingData",
    "WritingScorer",
]
