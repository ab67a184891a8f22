"""What a broken plugin is: what it offers, what is wrong with it, which check has to tell."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.plugins import PluginSource, load_catalogue
from adapterhub_lite.plugins.admitted import KINDS, Offer
from adapterhub_lite.specs import ConformanceCase, Spec
from adapterhub_lite.testing import CheckResult, check_offer
from adapterhub_lite.testing.suite import Check


@dataclass(frozen=True)
class Broken:
    """A plugin with one fault. ``check`` has to fail and no other, ``says`` is in its message.

    ``also`` are checks that cannot but fail with it. ``module`` is the entry point's, where the
    fault is in it; else a plugin with the spec is made up.
    """

    fault: str
    kind: str
    spec: Spec
    check: str
    says: str
    params: Mapping[str, Any] = field(default_factory=dict)
    expected: Mapping[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    module: str = ""

    def __str__(self) -> str:
        return self.fault.replace(" ", "-")

    def plugin(self) -> object:
        """Return an object with the hooks of such a plugin."""
        if self.module:
            return import_module(self.module)
        case = ConformanceCase(
            kind=self.kind, name=self.spec.name, params=self.params, expected_failures=self.expected
        )
        return offering(self.kind, [self.spec], [case])


def offering(kind: str, specs: Iterable[Spec], cases: Sequence[ConformanceCase]) -> object:
    """Return a plugin that offers specs of one kind."""
    hook, _ = KINDS[kind]

    def offers(self: object) -> Iterable[Spec]:
        return specs

    def conformance(self: object) -> Sequence[ConformanceCase]:
        return cases

    members = {hook: hookimpl(offers), "adapterhub_conformance": hookimpl(conformance)}
    return type("Plugin", (), members)()


def admitted(plugin: object) -> tuple[Catalogue, PluginSource]:
    """Return the first-party catalogue with one plugin more."""
    catalogue = load_catalogue(first_party_only=True)
    source = PluginSource("broken", "broken", "0", lambda: plugin)
    catalogue.admit(source)
    record = catalogue.record(source.id)
    assert record.status == "ok", record.error
    return catalogue, source


def failures(
    broken: Broken, shared: Path, checks: Iterable[Check] | None = None
) -> list[CheckResult]:
    """Hold a broken plugin to checks, all of its kind, on one architecture; return what fails."""
    catalogue, source = admitted(broken.plugin())
    offer = Offer(broken.kind, broken.spec, source)
    results = check_offer(offer, catalogue, checks=checks, shared=shared, quick=True)
    return [result for result in results if not result.ok]
