"""Plugins with one fault each that is not of what they offer."""

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ConformanceCase, ReaderSpec, ResolvedBase

READER = ReaderSpec(name="made-up", summary="Nothing.", implementation="nowhere:Nothing")


class MisspeltHook:
    def adapterhub_metric(self) -> Iterable[Any]:
        return ()


class OffersOnce:
    def __init__(self) -> None:
        self._readers = iter((READER,))

    @hookimpl
    def adapterhub_readers(self) -> Iterable[ReaderSpec]:
        return self._readers


class MisspeltCase:
    @hookimpl
    def adapterhub_readers(self) -> Iterable[ReaderSpec]:
        return (READER,)

    @hookimpl
    def adapterhub_conformance(self) -> Iterable[ConformanceCase]:
        return (ConformanceCase(kind="reader", name="madeup"),)


class TakesEveryBase:
    @hookimpl
    def adapterhub_resolve_base(self, ref: str) -> ResolvedBase:
        return ResolvedBase(ref=ref, path="/tmp", source="mine")


class FailsOnStrangeBases:
    @hookimpl
    def adapterhub_resolve_base(self, ref: str) -> ResolvedBase | None:
        _, name = ref.split(":")
        return None if name else ResolvedBase(ref=ref, path="/tmp", source="mine")


class KnowsEveryArchitecture:
    @hookimpl
    def adapterhub_target_modules(self, model_type: str, role: str) -> list[str]:
        return ["query", "value"]


class NeedsFields:
    @hookimpl
    def adapterhub_run_event(self, event: Mapping[str, Any]) -> None:
        event["version"].upper()


BROKEN: tuple[tuple[type, str, str], ...] = (
    (MisspeltHook, "check_hooks_are_known", "adapterhub_metric is no hook"),
    (OffersOnce, "check_offers_are_the_same_again", "offers 1 things, and then 0"),
    (MisspeltCase, "check_cases_are_of_its_offers", "the reader 'madeup'"),
    (TakesEveryBase, "check_strange_bases_are_left_alone", "it returns a base"),
    (FailsOnStrangeBases, "check_strange_bases_are_left_alone", "it raises ValueError"),
    (KnowsEveryArchitecture, "check_strange_architectures_are_left_alone", "it returns ["),
    (NeedsFields, "check_any_event_is_borne", "it raises KeyError"),
)
"""The class, the check that has to fail, and what its message says."""


def noisy() -> ModuleType:
    """Return a plugin whose module was loaded quietly before, as another plugin's might."""
    from contextlib import redirect_stdout
    from io import StringIO

    with redirect_stdout(StringIO()):
        from tests.conformance.broken import noisy as module

    return module
