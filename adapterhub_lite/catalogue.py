"""The catalogue: everything that the loaded plugins offer, by kind and name.

One object is passed around instead of a global; tests build one from the plugins they define.
"""

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, TypeVar

import pluggy

from adapterhub_lite.errors import (
    AdapterHubError,
    CapabilityError,
    MissingDependencyError,
    PluginError,
    UnknownNameError,
    nearest_name,
)
from adapterhub_lite.hookspecs import PROJECT, HookSpecs
from adapterhub_lite.plugins import PluginRecord, PluginSource, conflict, one_line
from adapterhub_lite.plugins.listing import offer_rows, plugin_row
from adapterhub_lite.plugins.loading import (
    check_hook_names,
    explained,
    load_plugin,
    watched,
)
from adapterhub_lite.plugins.tracing import traced
from adapterhub_lite.specs import (
    CompositionSpec,
    ConformanceCase,
    ExporterSpec,
    ImporterSpec,
    LoaderSpec,
    MergeSpec,
    MethodSpec,
    MetricSpec,
    ObjectiveSpec,
    PresetSpec,
    ReaderSpec,
    RemoteSpec,
    ReportSectionSpec,
    ResolvedBase,
    Spec,
    TargetRole,
)

logger = logging.getLogger(__name__)

S = TypeVar("S")

KINDS: Final[Mapping[str, tuple[str, type[Spec]]]] = {
    "method": ("adapterhub_methods", MethodSpec),
    "objective": ("adapterhub_objectives", ObjectiveSpec),
    "loader": ("adapterhub_loaders", LoaderSpec),
    "preset": ("adapterhub_presets", PresetSpec),
    "reader": ("adapterhub_readers", ReaderSpec),
    "metric": ("adapterhub_metrics", MetricSpec),
    "strategy": ("adapterhub_merge_strategies", MergeSpec),
    "composition": ("adapterhub_compositions", CompositionSpec),
    "exporter": ("adapterhub_exporters", ExporterSpec),
    "importer": ("adapterhub_importers", ImporterSpec),
    "report section": ("adapterhub_report_sections", ReportSectionSpec),
    "remote": ("adapterhub_remotes", RemoteSpec),
}
"""Kind → the hook that collects it, and the spec its records must be."""
PLACES: Final[Mapping[str, str]] = {
    "strategy": "ahl merge, with strategy",
    "loader": "ahl train, with loader",
    "objective": "ahl train, with objective",
    "composition": "ahl compose, with composition",
    "method": "ahl train, with method",
}
"""Kinds that recipes name → the command whose recipe does, and its key."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing that a plugin offers."""

    kind: str
    spec: Spec
    source: PluginSource


class Catalogue:
    """What the given plugins offer. A broken plugin is kept as a record and offers nothing."""

    def __init__(self, sources: Iterable[PluginSource]) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(HookSpecs)
        self.records: list[PluginRecord] = []
        self.offers: list[Offer] = []
        for source in sources:
            self.admit(source)

    def admit(self, source: PluginSource) -> None:
        """Load one more plugin and collect its offers: all of them, or none and the error."""
        record = PluginRecord(source)
        self.records.append(record)
        self.__dict__.pop("_by_name", None)
        if source.barrier:
            record.status, record.error = source.barrier.status, source.barrier.reason
            return
        try:
            with watched(record):
                self._load(record)
        except (Exception, SystemExit) as error:
            record.status, record.error = "broken", explained(error)
            if self._manager.has_plugin(source.id):
                self._manager.unregister(name=source.id)

    def _load(self, record: PluginRecord) -> None:
        source = record.source
        with traced(source.id, "import"):
            plugin = load_plugin(record)
        hash(plugin)  # pluggy keeps plugins in sets: one that has no hash would break the next
        check_hook_names(plugin)
        self._manager.register(plugin, name=source.id)
        callers = self._manager.get_hookcallers(plugin) or ()
        record.hooks = tuple(sorted(caller.name for caller in callers))
        self.offers += [
            offer
            for kind, (hook, _) in KINDS.items()
            if hook in record.hooks
            for offer in self._collect(source, kind)
        ]

    def _collect(self, source: PluginSource, kind: str) -> list[Offer]:
        """Ask a plugin for all it offers of one kind; raises TypeError or ValueError if wrong."""
        hook, spec_type = KINDS[kind]
        with traced(source.id, hook):
            results = self._caller(hook, source.id)()
            if not results:  # pluggy drops a None
                raise TypeError(f"{hook} returned None: it yields specs, or returns a list of them")
            specs: list[Spec] = []
            for given in results:
                if not isinstance(given, Iterable):
                    raise TypeError(f"{hook} returned one {type(given).__name__}, not an iterable")
                specs += given
        for number, spec in enumerate(specs):
            if not isinstance(spec, spec_type):
                raise TypeError(f"{hook} returned {type(spec).__name__}, not {spec_type.__name__}")
            if not isinstance(spec.name, str) or not spec.name:
                raise TypeError(f"{hook} returned a spec whose name is {spec.name!r}")
            if spec.name in [earlier.name for earlier in specs[:number]]:
                raise ValueError(f"{hook} returned two specs called {spec.name!r}")
        return [Offer(kind, spec, source) for spec in specs]

    def _caller(self, hook: str, plugin: str) -> Any:
        """Return a hook caller that reaches one plugin, so that a failure has one culprit."""
        others = [p for name, p in self._manager.list_name_plugin() if name != plugin]
        return self._manager.subset_hook_caller(hook, others)

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], list[Offer]]:
        table: dict[tuple[str, str], list[Offer]] = {}
        for offer in self.offers:
            table.setdefault((offer.kind, offer.spec.name), []).append(offer)
        return table

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

    def record(self, plugin: str) -> PluginRecord:
        """Return what became of the plugin with that id."""
        return next(record for record in self.records if record.source.id == plugin)

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

    def resolve_base(self, ref: str) -> ResolvedBase | None:
        """Ask each plugin for the base model ``ref``; the first answer counts."""
        hook = "adapterhub_resolve_base"
        for plugin, result in self._call_each(hook, ref=ref):
            if isinstance(result, ResolvedBase):
                return result
            if result is not None:
                kind = type(result).__name__
                logger.warning("plugin %s: %s returned %s, no ResolvedBase", plugin, hook, kind)
        return None

    def target_modules(self, model_type: str, role: TargetRole) -> Sequence[str] | None:
        """Ask each plugin which modules play ``role``; the first answer counts."""
        hook = "adapterhub_target_modules"
        for plugin, result in self._call_each(hook, model_type=model_type, role=role):
            if result is None:
                continue
            names = list(result) if isinstance(result, list | tuple) else []
            if names and all(isinstance(name, str) and name for name in names):
                return names
            logger.warning("plugin %s: %s returned %r, no list of names", plugin, hook, result)
        return None

    def run_event(self, event: Mapping[str, Any]) -> None:
        """Tell every plugin of an event of a run."""
        for _ in self._call_each("adapterhub_run_event", event=event):
            pass

    def conformance_cases(self, plugin: str) -> list[ConformanceCase]:
        """Return how a plugin, by its id, wants its offers to be checked.

        Raises PluginError when its hook fails or returns something else.
        """
        hook = "adapterhub_conformance"
        try:
            cases = [case for given in self._caller(hook, plugin)() for case in given]
        except Exception as error:
            raise PluginError(f"{hook} failed: {one_line(error)}", plugin=plugin) from error
        if wrong := [case for case in cases if not isinstance(case, ConformanceCase)]:
            raise PluginError(
                f"{hook} returned {type(wrong[0]).__name__}, not ConformanceCase", plugin=plugin
            )
        return cases

    def _call_each(self, hook: str, **arguments: Any) -> Iterator[tuple[str, Any]]:
        """Call a hook plugin by plugin, for its id and answer; one that raises is passed over."""
        for record in self.records:
            if record.status != "ok" or hook not in record.hooks:
                continue
            try:  # what it prints must not mix with the output of the command that is running
                with traced(record.source.id, hook), redirect_stdout(sys.stderr):
                    result = self._caller(hook, record.source.id)(**arguments)
            except Exception as error:
                if isinstance(error, AdapterHubError) and hook == "adapterhub_resolve_base":
                    raise  # said on purpose, for the user: a base that is known but not installed
                logger.warning("plugin %s: %s failed: %s", record.source.id, hook, one_line(error))
                continue
            yield record.source.id, result


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a parent package is absent, or was put together by hand
        return False
