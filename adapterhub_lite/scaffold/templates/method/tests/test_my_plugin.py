"""my-plugin keeps what a method promises: run pytest, or ahl plugins check my-plugin."""

from adapterhub_lite.testing import MethodConformance


class TestMyMethod(MethodConformance):
    """Each check of the conformance kit becomes a test."""

    name = "my-method"
