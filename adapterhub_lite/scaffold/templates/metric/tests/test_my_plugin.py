"""my-plugin keeps what a metric promises: run pytest, or ahl plugins check my-plugin."""

from adapterhub_lite.testing import MetricConformance


class TestMyMetric(MetricConformance):
    """Each check of the conformance kit becomes a test."""

    name = "my-metric"
