"""my-plugin keeps what a reader promises: run pytest, or ahl plugins check my-plugin."""

from adapterhub_lite.testing import ReaderConformance


class TestMyReader(ReaderConformance):
    """Each check of the conformance kit becomes a test."""

    name = "my-reader"
