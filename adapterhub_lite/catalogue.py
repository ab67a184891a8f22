"""The catalogue: everything that the loaded plugins offer, by kind and name.

One object is passed around instead of a global; tests build one from the plugins they define.
"""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, TypeVar

from adapterhub_lite.errors import (
    AdapterHubError,
    CapabilityError,
    MissingDependencyError,
    PluginError,
    UnknownNameError,
    nearest_name,
)
from adapterhub_lite.plugins import conflict, one_line
from adapterhub_lite.plugins.admitted import AdmittedPlugins, Offer
from adapterhub_lite.plugins.listing import offer_rows, plugin_row
from adapterhub_lite.specs import (
    CompositionSpec,
    ExporterSpec,
    ImporterSpec,
    LoaderSpec,
    MergeSpec,
    MethodSpec,
    MetricSpec,
    ObjectiveSpec,
    PresetSpec,
    ReaderSpec,
    Spec,
)

S = TypeVar("S")
PLACES: Final[Mapping[str, str]] = {
    "strategy": "ahl merge, with strategy",
    "loader": "ahl train, with loader",
    "objective": "ahl train, with objective",
    "composition": "ahl compose, with composition",
    "method": "ahl train, with method",
}
"""Kinds that recipes name → the command whose recipe does, and its key."""


class Catalogue(AdmittedPlugins):
    """What the given plugins offer. A broken plugin is kept as a record and offers nothing."""

    def names(self, kind: str) -> list[str]:
        """Return the names offered for ``kind``, sorted."""
        return sorted({offer.spec.name for offer in self.offers if offer.kind == kind})

    def usable(self, kind: str) -> list[Offer]:
        """Return the offers for ``kind`` that nobody else makes under the same name, by name."""
        found = (self._by_name[kind, name] for name in self.names(kind))
        return [offers[0] for offers in found if len(offers) == 1]

    def offer(self, kind: str, name: str) -> Offer:
        """Return the offer of that kind and name.

        Raises UnknownNameError, with the nearest name, or PluginConflictError when two
        distributions offer it.
        """
        found = self._by_name.get((kind, name), [])
        if not found:
            raise self._unknown(kind, name)
        if len(found) > 1:
            raise conflict(kind, name, ((o.source.distribution, o.source.version) for o in found))
        return found[0]

    def _unknown(self, kind: str, name: str) -> UnknownNameError:
        """Return the error for a name that nobody offers, or nobody who could be loaded."""
        error = UnknownNameError(kind, name, self.names(kind))
        if not error.nearest and (elsewhere := self._elsewhere(name)):
            error.hint = f"{elsewhere}; {error.hint}"
        idle = [f"{r.source.id} ({r.status})" for r in self.records if r.status != "ok"]
        if idle:
            more = ", …" if len(idle) > 3 else ""
            error.hint += f"; not loaded: {', '.join(idle[:3])}{more}; see: ahl plugins list"
        return error

    def _elsewhere(self, name: str) -> str:
        """Say where something of that name, or one much like it, has its place, if anywhere."""
        places = {known: kind for kind in PLACES for known in self.names(kind)}
        near = nearest_name(name, places)
        if near is None:
            return ""
        return f"there is the {places[near]} {near!r}: {PLACES[places[near]]}: {near}"

    def method(self, name: str) -> MethodSpec:
        """Return the method called ``name``; errors as :meth:`offer`."""
        return self._spec("method", name, MethodSpec)

    def objective(self, name: str) -> ObjectiveSpec:
        """Return the objective called ``name``; errors as :meth:`offer`."""
        return self._spec("objective", name, ObjectiveSpec)

    def loader(self, name: str) -> LoaderSpec:
        """Return the loader called ``name``; errors as :meth:`offer`."""
        return self._spec("loader", name, LoaderSpec)

    def preset(self, name: str) -> PresetSpec:
        """Return the preset called ``name``; errors as :meth:`offer`."""
        return self._spec("preset", name, PresetSpec)

    def strategy(self, name: str) -> MergeSpec:
        """Return the merge strategy called ``name``; errors as :meth:`offer`."""
        return self._spec("strategy", name, MergeSpec)

    def composition(self, name: str) -> CompositionSpec:
        """Return the composition called ``name``; errors as :meth:`offer`."""
        return self._spec("composition", name, CompositionSpec)

    def exporter(self, name: str) -> ExporterSpec:
        """Return the exporter called ``name``; errors as :meth:`offer`."""
        return self._spec("exporter", name, ExporterSpec)

    def importer(self, name: str) -> ImporterSpec:
        """Return the importer called ``name``; errors as :meth:`offer`."""
        return self._spec("importer", name, ImporterSpec)

    def _spec(self, kind: str, name: str, spec_type: type[S]) -> S:
        spec = self.offer(kind, name).spec
        assert isinstance(spec, spec_type), "offers are checked when they are collected"
        return spec

    @property
    def readers(self) -> Mapping[str, ReaderSpec]:
        """Every reader by name; :meth:`offer` tells of those in conflict."""
        specs = (offer.spec for offer in self.usable("reader"))
        return {spec.name: spec for spec in specs if isinstance(spec, ReaderSpec)}

    @property
    def metrics(self) -> Mapping[str, MetricSpec]:
        """Every metric by name; :meth:`offer` tells of those in conflict."""
        specs = (offer.spec for offer in self.usable("metric"))
        return {spec.name: spec for spec in specs if isinstance(spec, MetricSpec)}

    def listing(self) -> list[dict[str, str]]:
        """Return a row for each thing offered, and one for each plugin that offers nothing.

        The status is ok, conflict, disabled, blocked or broken; the error says with whom or why,
        the note what is amiss all the same.
        """
        offering = {offer.source.id for offer in self.offers}
        silent = [record for record in self.records if record.source.id not in offering]
        return offer_rows(self.offers, self.records) + [plugin_row(record) for record in silent]

    def implementers(self, hook: str) -> list[dict[str, str]]:
        """Return a row for each plugin that implements a hook."""
        return [plugin_row(record) for record in self.records if hook in record.hooks]

    def implementation(self, spec: Spec) -> Any:
        """Import what stands behind a spec: a class is instantiated, a function returned as it is.

        A method that is trained upon adapters gets what finds the implementation of their method.
        Raises MissingDependencyError when a library that it declares is absent, PluginError when
        the import fails.
        """
        for requirement in spec.requires:
            if not _is_installed(requirement.module):
                raise MissingDependencyError(
                    f"{requirement.module}, which {spec.name!r} needs,", install=requirement.install
                )
        module, _, attribute = spec.implementation.partition(":")
        try:
            found = getattr(import_module(module), attribute)
            if not isinstance(found, type):
                return found
            if isinstance(spec, MethodSpec) and spec.upon:
                return found(lambda name: self.implementation(self.upon(spec, name)))
            return found()
        except AdapterHubError:
            raise
        except Exception as error:
            raise PluginError(
                f"{spec.name!r} cannot be imported from {spec.implementation!r}: {one_line(error)}",
                plugin=module,
            ) from error

    def upon(self, spec: MethodSpec, name: str) -> MethodSpec:
        """Return the method called ``name``, upon whose adapters that of ``spec`` is trained.

        Raises CapabilityError where it is not; errors as :meth:`offer`.
        """
        found = self.method(name)
        if spec.upon not in found.capabilities:
            specs = (offer.spec for offer in self.usable("method"))
            able = [
                s.name for s in specs if isinstance(s, MethodSpec) and spec.upon in s.capabilities
            ]
            raise CapabilityError(
                f"the method {spec.name!r} is not trained upon adapters of the method {name!r}, "
                f"which does not declare {spec.upon!r}",
                hint=f"methods whose adapters it takes: {', '.join(able)}",
            )
        return found


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a parent package is absent, or was put together by hand
        return False
