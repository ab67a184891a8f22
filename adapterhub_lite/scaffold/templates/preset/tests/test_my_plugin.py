"""my-plugin keeps what a preset promises: run pytest, or ahl plugins check my-plugin."""

from adapterhub_lite.testing import PresetConformance


class TestMyPreset(PresetConformance):
    """Each check of the conformance kit becomes a test."""

    name = "my-preset"
