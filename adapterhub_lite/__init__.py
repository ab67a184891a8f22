"""Train, keep, compose, merge and deploy adapters of language models.

The public API is imported on use, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapterhub_lite.api import compose, deploy, load, merge, open_registry, train
    from adapterhub_lite.composition.run import ComposeResult
    from adapterhub_lite.deployment import Deployment
    from adapterhub_lite.errors import AdapterHubError
    from adapterhub_lite.inference.predictor import Predictor
    from adapterhub_lite.merging.results import MergeResult
    from adapterhub_lite.predictions import Prediction
    from adapterhub_lite.remotes.api import pull, push, sync
    from adapterhub_lite.training.results import TrainResult

_MODULES = {
    "AdapterHubError": "adapterhub_lite.errors",
    "ComposeResult": "adapterhub_lite.composition.run",
    "Deployment": "adapterhub_lite.deployment",
    "MergeResult": "adapterhub_lite.merging.results",
    "Prediction": "adapterhub_lite.predictions",
    "Predictor": "adapterhub_lite.inference.predictor",
    "TrainResult": "adapterhub_lite.training.results",
    "compose": "adapterhub_lite.api",
    "deploy": "adapterhub_lite.api",
    "load": "adapterhub_lite.api",
    "merge": "adapterhub_lite.api",
    "open_registry": "adapterhub_lite.api",
    "pull": "adapterhub_lite.remotes.api",
    "push": "adapterhub_lite.remotes.api",
    "sync": "adapterhub_lite.remotes.api",
    "train": "adapterhub_lite.api",
}

__all__ = [
    "AdapterHubError",
    "ComposeResult",
    "Deployment",
    "MergeResult",
    "Prediction",
    "Predictor",
    "TrainResult",
    "compose",
    "deploy",
    "load",
    "merge",
    "open_registry",
    "pull",
    "push",
    "sync",
    "train",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
