"""Runs the conformance checks of an offer, or of all that a plugin offers.

A check is a plain function ``check_…(subject)``: it returns when all is well, raises
CheckFailedError with a line and a hint when not, and NotApplicableError where it has nothing to
look at. The first line of its docstring says what it checks, the rest what to do when it fails.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import PluginError, nearest_name
from adapterhub_lite.plugins import PluginRecord, one_line
from adapterhub_lite.plugins.admitted import Offer
from adapterhub_lite.specs import ConformanceCase, Spec
from adapterhub_lite.testing.outcomes import (
    CheckFailedError,
    CheckResult,
    NotApplicableError,
    Status,
)
from adapterhub_lite.testing.subject import Subject

Check = Callable[[Subject], None]

MODULES: Final[Mapping[str, str]] = {
    "plugin": "adapterhub_lite.testing.plugin_checks",
    "method": "adapterhub_lite.testing.methods",
    "objective": "adapterhub_lite.testing.objectives",
    "loader": "adapterhub_lite.testing.loader_checks",
    "preset": "adapterhub_lite.testing.preset_checks",
    "reader": "adapterhub_lite.testing.reader_checks",
    "metric": "adapterhub_lite.testing.metric_checks",
    "strategy": "adapterhub_lite.testing.merge_checks",
    "composition": "adapterhub_lite.testing.composition_checks",
    "exporter": "adapterhub_lite.testing.exporter_checks",
    "importer": "adapterhub_lite.testing.importer_checks",
    "report section": "adapterhub_lite.testing.section_checks",
    "remote": "adapterhub_lite.testing.remote_checks",
}
"""Kind of offer → the module whose ``CHECKS`` it is held to, beside those of every spec."""


def checks_of(kind: str) -> tuple[Check, ...]:
    """Return the checks that an offer of a kind is held to: first those of every spec.

    A ``plugin`` itself has no spec of its own.
    """
    from adapterhub_lite.testing import spec_checks

    own = import_module(MODULES[kind]).CHECKS if kind in MODULES else ()
    return own if kind == "plugin" else (*spec_checks.CHECKS, *own)


def check_offer(
    offer: Offer,
    catalogue: Catalogue,
    *,
    checks: Iterable[Check] | None = None,
    case: ConformanceCase | None = None,
    shared: Path | None = None,
    quick: bool = False,
) -> Iterator[CheckResult]:
    """Run the checks of an offer one by one, each in a folder of its own, and yield how they went.

    ``case`` says with which parameters, and which checks are expected to fail; the default is what
    the plugin says by its hook ``adapterhub_conformance``. ``shared`` is a folder for what several
    checks need, kept by the caller; ``quick`` asks for one architecture instead of all. Raises
    PluginError for an expectation that names no check, or has no reason.
    """
    case = case or case_of(offer, catalogue)
    every = tuple(checks_of(offer.kind) if checks is None else checks)
    _require_reasons(case, [check.__name__ for check in checks_of(offer.kind)], offer)
    with TemporaryDirectory(prefix="ahl-check-") as scratch:
        for check in every:
            with TemporaryDirectory(prefix="ahl-check-") as folder:
                subject = Subject(
                    offer=offer,
                    catalogue=catalogue,
                    folder=Path(folder),
                    shared=shared or Path(scratch),
                    params=case.params,
                    adapters=case.adapters,
                    quick=quick,
                )
                yield run_check(check, subject, case.expected_failures.get(check.__name__, ""))


def run_check(check: Check, subject: Subject, expected: str = "") -> CheckResult:
    """Run one check; ``expected`` is the reason why it is known to fail."""
    spec = subject.offer.spec
    status, message, hint = _outcome(check, subject)
    if expected and status == "failed":
        status, message, hint = "expected", expected, ""
    elif expected and status == "passed":
        status, message = "unexpected", f"passes, though it was to fail: {expected}"
        hint = "take it out of expected_failures"
    return CheckResult(
        kind=subject.offer.kind,
        name=spec.name,
        check=check.__name__,
        status=status,
        message=message,
        hint=hint,
    )


def check_plugin(catalogue: Catalogue, plugin: str) -> Iterator[CheckResult]:
    """Run the checks of a plugin itself, and of all that it offers.

    ``plugin`` is a distribution, an entry point or ``distribution:entry-point``. Raises PluginError
    for one that is not installed or is broken.
    """
    for record in records_of(catalogue, plugin):
        source = record.source
        itself = Offer("plugin", Spec(name=source.name, summary="The plugin itself."), source)
        offers = [offer for offer in catalogue.offers if offer.source.id == source.id]
        for offer in (itself, *offers):
            yield from check_offer(offer, catalogue)


def records_of(catalogue: Catalogue, plugin: str) -> Sequence[PluginRecord]:
    """Return what became of the plugins that are meant; errors as :func:`check_plugin`."""
    records = [
        record
        for record in catalogue.records
        if plugin in (record.source.name, record.source.distribution, record.source.id)
    ]
    if not records:
        known = {record.source.distribution for record in catalogue.records}
        known |= {record.source.name for record in catalogue.records}
        near = nearest_name(plugin, sorted(known))
        raise PluginError(
            f"there is no plugin {plugin!r}",
            plugin=plugin,
            hint=f"did you mean {near!r}?" if near else "see: ahl plugins list",
        )
    for record in records:
        if record.status != "ok":
            raise PluginError(
                f"{record.source.id} is {record.status}: {record.error}", plugin=record.source.id
            )
    return records


def case_of(offer: Offer, catalogue: Catalogue) -> ConformanceCase:
    """Return what the offer's own plugin says of how it is to be checked."""
    for case in catalogue.conformance_cases(offer.source.id):
        if (case.kind, case.name) == (offer.kind, offer.spec.name):
            return case
    return ConformanceCase(kind=offer.kind, name=offer.spec.name)


def advice(check: Check) -> str:
    """Return what a check's docstring says to do when it fails."""
    _, _, rest = inspect.cleandoc(check.__doc__ or "").partition("\n")
    return " ".join(rest.split())


def _outcome(check: Check, subject: Subject) -> tuple[Status, str, str]:
    try:
        check(subject)
    except NotApplicableError as reason:
        return "skipped", str(reason), ""
    except CheckFailedError as fault:
        return "failed", fault.message, fault.hint or advice(check)
    except Exception as error:
        return "failed", f"raised {one_line(error)}", advice(check)
    return "passed", "", ""


def _require_reasons(case: ConformanceCase, known: Sequence[str], offer: Offer) -> None:
    for name, reason in case.expected_failures.items():
        if name not in known:
            near = nearest_name(name, known)
            raise PluginError(
                f"{offer.spec.name!r} expects {name!r} to fail, which is no check of a "
                f"{offer.kind}",
                plugin=offer.source.id,
                hint=f"did you mean {near!r}?" if near else f"its checks: {', '.join(known)}",
            )
        if not reason.strip():
            raise PluginError(
                f"{offer.spec.name!r} expects {name!r} to fail and gives no reason",
                plugin=offer.source.id,
                hint="say in expected_failures why it cannot pass",
            )
