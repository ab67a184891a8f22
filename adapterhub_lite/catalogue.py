"""The catalogue: everything that the loaded plugins offer, by kind and name.

One object is passed around instead of a global; tests build one from the plugins they define.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, TypeVar

import pluggy

from adapterhub_lite.errors import (
    AdapterHubError,
    MissingDependencyError,
    PluginError,
    UnknownNameError,
    nearest_name,
)
from adapterhub_lite.hookspecs import PROJECT, HookSpecs
from adapterhub_lite.plugins import PluginRecord, PluginSource, conflict, one_line
from adapterhub_lite.specs import (
    ExporterSpec,
    ImporterSpec,
    LoaderSpec,
    MergeSpec,
    MethodSpec,
    MetricSpec,
    ObjectiveSpec,
    PresetSpec,
    ReaderSpec,
    ResolvedBase,
    Spec,
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
    "exporter": ("adapterhub_exporters", ExporterSpec),
    "importer": ("adapterhub_importers", ImporterSpec),
}
"""Kind → the hook that collects it, and the spec its records must be."""


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
            record = PluginRecord(source)
            self.records.append(record)
            self._admit(record)

    def _admit(self, record: PluginRecord) -> None:
        """Load one plugin and collect its offers: all of them, or none and the error."""
        if record.source.blocked:
            record.status, record.error = "blocked", record.source.blocked
            return
        try:
            plugin = record.source.load()
            hash(plugin)  # pluggy keeps plugins in sets: one that has no hash would break the next
            _check_hook_names(plugin)
            self._manager.register(plugin, name=record.source.id)
            self.offers += list(self._collect(record.source))
        except (Exception, SystemExit) as error:
            record.status, record.error = "broken", one_line(error)
            if self._manager.has_plugin(record.source.id):
                self._manager.unregister(name=record.source.id)

    def _collect(self, source: PluginSource) -> Iterator[Offer]:
        seen: set[tuple[str, str]] = set()
        for kind, (hook, spec_type) in KINDS.items():
            caller = self._caller(hook, source.id)
            results = caller()
            if caller.get_hookimpls() and not results:  # pluggy drops a None
                raise TypeError(f"{hook} returned None: it yields specs, or returns a list of them")
            for specs in results:
                if not isinstance(specs, Iterable):
                    raise TypeError(f"{hook} returned one {type(specs).__name__}, not an iterable")
                for spec in specs:
                    if not isinstance(spec, spec_type):
                        raise TypeError(
                            f"{hook} returned {type(spec).__name__}, not {spec_type.__name__}"
                        )
                    if not isinstance(spec.name, str) or not spec.name:
                        raise TypeError(f"{hook} returned a spec whose name is {spec.name!r}")
                    if (kind, spec.name) in seen:
                        raise ValueError(f"{hook} returned two specs called {spec.name!r}")
                    seen.add((kind, spec.name))
                    yield Offer(kind, spec, source)

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
            raise UnknownNameError(kind, name, self.names(kind))
        if len(found) > 1:
            raise conflict(kind, name, ((o.source.distribution, o.source.version) for o in found))
        return found[0]

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

        The status is ok, conflict, blocked or broken; the error says with whom or why.
        """
        rows = [self._row(o.spec.name, o.kind, o.source, *self._status(o)) for o in self.offers]
        offering = {offer.source.id for offer in self.offers}
        rows += [
            self._row(record.source.name, "plugin", record.source, record.status, record.error)
            for record in self.records
            if record.source.id not in offering
        ]
        return rows

    def _status(self, offer: Offer) -> tuple[str, str]:
        others = [o for o in self._by_name[offer.kind, offer.spec.name] if o is not offer]
        if not others:
            return "ok", ""
        owners = ((o.source.distribution, o.source.version) for o in (offer, *others))
        return "conflict", conflict(offer.kind, offer.spec.name, owners).message

    @staticmethod
    def _row(name: str, kind: str, source: PluginSource, status: str, error: str) -> dict[str, str]:
        return {
            "name": name,
            "kind": kind,
            "distribution": source.distribution,
            "version": source.version,
            "status": status,
            "error": error,
        }

    def implementation(self, spec: Spec) -> Any:
        """Import what stands behind a spec: a class is instantiated, a function returned as it is.

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
            return found() if isinstance(found, type) else found
        except AdapterHubError:
            raise
        except Exception as error:
            raise PluginError(
                f"{spec.name!r} cannot be imported from {spec.implementation!r}: {one_line(error)}",
                plugin=module,
            ) from error

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

    def run_event(self, event: Mapping[str, Any]) -> None:
        """Tell every plugin of an event of a run."""
        for _ in self._call_each("adapterhub_run_event", event=event):
            pass

    def _call_each(self, hook: str, **arguments: Any) -> Iterator[tuple[str, Any]]:
        """Call a hook plugin by plugin, for its id and answer; one that raises is passed over."""
        for record in self.records:
            if record.status != "ok":
                continue
            try:
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


def _check_hook_names(plugin: object) -> None:
    """Refuse what pluggy would never call: a mark on a name that is no hook, a hook without one."""
    known = [name for name in vars(HookSpecs) if name.startswith("adapterhub_")]
    for name in dir(plugin):
        attribute = getattr(plugin, name, None)
        marked = getattr(attribute, f"{PROJECT}_impl", None)
        if marked and (meant := marked.get("specname") or name) not in known:
            near = nearest_name(meant, known)
            ending = f"; did you mean {near}?" if near else ""
            raise AttributeError(f"there is no hook {meant}{ending}")
        if not marked and name in known and callable(attribute):
            raise AttributeError(f"{name} is not marked with @hookimpl")
