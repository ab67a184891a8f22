"""The plugins that were admitted: what became of each, what they offer, and calls of their hooks.

A plugin that is broken offers nothing; a hook that fails is passed over, and who failed is told.
"""

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import pluggy

from adapterhub_lite.errors import AdapterHubError, PluginError
from adapterhub_lite.hookspecs import PROJECT, HookSpecs
from adapterhub_lite.plugins.discovery import PluginSource
from adapterhub_lite.plugins.faults import one_line
from adapterhub_lite.plugins.loading import (
    PluginRecord,
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


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing that a plugin offers."""

    kind: str
    spec: Spec
    source: PluginSource


class AdmittedPlugins:
    """Plugins that were loaded, or of which the error is kept, in the order they were given."""

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

    def record(self, plugin: str) -> PluginRecord:
        """Return what became of the plugin with that id."""
        return next(record for record in self.records if record.source.id == plugin)

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
