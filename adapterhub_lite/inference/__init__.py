"""Any version becomes a predictor."""

from adapterhub_lite.inference.predictor import Predictor

__all__ = ["Predictor"]
