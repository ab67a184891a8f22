"""my-plugin keeps what a strategy promises: run pytest, or ahl plugins check my-plugin."""

from adapterhub_lite.testing import MergeConformance


class TestMyStrategy(MergeConformance):
    """Each check of the conformance kit becomes a test."""

    name = "my-strategy"
