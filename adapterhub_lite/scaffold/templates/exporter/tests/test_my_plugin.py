"""my-plugin keeps what an exporter promises: run pytest, or ahl plugins check my-plugin."""

from adapterhub_lite.testing import ExporterConformance


class TestMyExporter(ExporterConformance):
    """Each check of the conformance kit becomes a test."""

    name = "my-exporter"
