"""One class a kind of offer: a plugin's test module subclasses it and names what to check.

::

    from adapterhub_lite.testing import MethodConformance


    class TestBitFit(MethodConformance):
        name = "bitfit"

pytest then runs each check as a test of its own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from adapterhub_lite.plugins import PluginSource, load_catalogue
from adapterhub_lite.specs import ConformanceCase
from adapterhub_lite.testing.suite import Check, case_of, check_offer, checks_of


class Conformance:
    """What the classes share; subclasses of theirs give ``name``.

    ``plugin`` is the plugin's module, for one that is not installed. ``params``,
    ``adapters`` and ``expected_failures`` win over what the plugin's hook
    ``adapterhub_conformance`` says.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    plugin: ClassVar[object | None] = None
    params: ClassVar[Mapping[str, Any] | None] = None
    adapters: ClassVar[Mapping[str, Mapping[str, Any]] | None] = None
    expected_failures: ClassVar[Mapping[str, str] | None] = None

    @classmethod
    def checks(cls) -> tuple[Check, ...]:
        """Return the checks, each of which becomes a test."""
        return checks_of(cls.kind)

    def test_conformance(self, conformance_check: Check, conformance_folder: Path) -> None:
        """Hold the offer to one check; the pytest plugin gives them one after the other."""
        import pytest

        catalogue = load_catalogue(first_party_only=self.plugin is not None)
        if self.plugin is not None:
            plugin = self.plugin
            catalogue.admit(PluginSource("under-test", "under-test", "0", lambda: plugin))
        offer = catalogue.offer(self.kind, self.name)
        said = case_of(offer, catalogue)
        expected = self.expected_failures
        case = ConformanceCase(
            kind=self.kind,
            name=self.name,
            params=said.params if self.params is None else self.params,
            adapters=said.adapters if self.adapters is None else self.adapters,
            expected_failures=said.expected_failures if expected is None else expected,
        )
        (result,) = check_offer(
            offer, catalogue, checks=[conformance_check], case=case, shared=conformance_folder
        )
        if result.status == "skipped":
            pytest.skip(result.message)
        if result.status == "expected":
            pytest.xfail(result.message)
        if not result.ok:
            pytest.fail(f"{result.message}\n  hint: {result.hint}", pytrace=False)


class MethodConformance(Conformance):
    """Holds a method to its checks."""

    kind = "method"


class ObjectiveConformance(Conformance):
    """Holds an objective to its checks."""

    kind = "objective"


class LoaderConformance(Conformance):
    """Holds a loader to its checks."""

    kind = "loader"


class PresetConformance(Conformance):
    """Holds a preset to its checks."""

    kind = "preset"


class ReaderConformance(Conformance):
    """Holds a reader to its checks."""

    kind = "reader"


class MetricConformance(Conformance):
    """Holds a metric to its checks."""

    kind = "metric"


class MergeConformance(Conformance):
    """Holds a merge strategy to its checks."""

    kind = "strategy"


class CompositionConformance(Conformance):
    """Holds a composition to its checks."""

    kind = "composition"


class ExporterConformance(Conformance):
    """Holds an exporter to its checks."""

    kind = "exporter"


class ImporterConformance(Conformance):
    """Holds an importer to its checks."""

    kind = "importer"


class ReportSectionConformance(Conformance):
    """Holds a section of the report to its checks."""

    kind = "report section"


class RemoteConformance(Conformance):
    """Holds a remote to its checks."""

    kind = "remote"
