"""Scoring predictions: metrics with intervals, tables, comparisons.

What a plugin's metric is made of comes first: :class:`RowSums` resamples at the cost of a sum.
"""

from adapterhub_lite.evaluation.evaluate import evaluate, evaluate_scored, require_known_labels
from adapterhub_lite.evaluation.intervals import mean_interval
from adapterhub_lite.evaluation.measures import PreparedMetric, RowSums
from adapterhub_lite.evaluation.metrics import fitting_metrics
from adapterhub_lite.evaluation.recording import draft_record
from adapterhub_lite.evaluation.results import ClassRow, Evaluation, MetricValue
from adapterhub_lite.evaluation.significance import Comparison, compare, compare_metrics, mcnemar

__all__ = [
    "ClassRow",
    "Comparison",
    "Evaluation",
    "MetricValue",
    "PreparedMetric",
    "RowSums",
    "compare",
    "compare_metrics",
    "draft_record",
    "evaluate",
    "evaluate_scored",
    "fitting_metrics",
    "mcnemar",
    "mean_interval",
    "require_known_labels",
]
