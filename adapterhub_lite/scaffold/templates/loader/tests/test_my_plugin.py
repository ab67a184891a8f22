"""my-plugin keeps what a loader promises: run pytest, or ahl plugins check my-plugin."""

from adapterhub_lite.testing import LoaderConformance


class TestMyLoader(LoaderConformance):
    """Each check of the conformance kit becomes a test."""

    name = "my-loader"
