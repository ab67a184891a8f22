"""Any version becomes a predictor."""

from adapterhub_lite.inference.predictor import Prediction, Predictor

__all__ = ["Prediction", "Predictor"]
