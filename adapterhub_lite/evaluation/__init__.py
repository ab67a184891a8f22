"""Scoring predictions: metrics with intervals, per-class tables, the confusion matrix."""

from adapterhub_lite.evaluation.classification import (
    ClassRow,
    Evaluation,
    MetricValue,
    decide,
    evaluate,
)
from adapterhub_lite.evaluation.intervals import mean_interval

__all__ = ["ClassRow", "Evaluation", "MetricValue", "decide", "evaluate", "mean_interval"]
