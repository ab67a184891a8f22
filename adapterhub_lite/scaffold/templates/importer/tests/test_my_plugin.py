"""my-plugin keeps what an importer promises: run pytest, or ahl plugins check my-plugin."""

from adapterhub_lite.testing import ImporterConformance


class TestMyImporter(ImporterConformance):
    """Each check of the conformance kit becomes a test."""

    name = "my-importer"
