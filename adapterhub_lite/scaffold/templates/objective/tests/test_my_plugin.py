"""my-plugin keeps what an objective promises: run pytest, or ahl plugins check my-plugin."""

from adapterhub_lite.testing import ObjectiveConformance


class TestMyObjective(ObjectiveConformance):
    """Each check of the conformance kit becomes a test."""

    name = "my-objective"
