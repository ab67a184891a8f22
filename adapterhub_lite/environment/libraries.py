"""Libraries: which versions are installed, and what the project's own metadata asks for."""

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement

from adapterhub_lite.environment.findings import Finding
from adapterhub_lite.plugins import FIRST_PARTY

NOT_FOR_USERS = frozenset({"dev", "docs"})
"""Extras for the project's own developers."""


def library_findings() -> Iterator[Finding]:
    """Yield Python's and our own version, what is required and well, and what is not."""
    yield _ok("python", f"{platform.python_version()} ({sys.executable})")
    yield _ok(FIRST_PARTY, version(FIRST_PARTY))
    well = []
    for requirement in _requirements(""):
        if problem := _problem(requirement):
            yield Finding(
                area="libraries",
                subject=requirement.name,
                level="fault",
                message=problem,
                way_out=_pip(f"{requirement.name}{requirement.specifier}"),
            )
        else:
            well.append(f"{requirement.name} {version(requirement.name)}")
    yield _ok("libraries", ", ".join(well))


def extra_findings() -> Iterator[Finding]:
    """Yield each extra: complete, or what it lacks. None of them is needed, so none is a fault."""
    for extra in metadata(FIRST_PARTY).get_all("Provides-Extra") or ():
        if extra in NOT_FOR_USERS:
            continue
        problems = {r: found for r in _requirements(extra) if (found := _problem(r))}
        absent = [r for r in problems if not _installed(r)]
        yield Finding(
            area="extras",
            subject=f"extra {extra}",
            level="warning" if len(problems) > len(absent) else "ok",
            message="; ".join(problems.values()) or "complete",
            way_out=_pip(f"{FIRST_PARTY}[{extra}]") if problems else "",
        )


def _pip(what: str) -> str:
    return f"{sys.executable} -m pip install '{what}'"


def _ok(subject: str, message: str) -> Finding:
    return Finding(area="libraries", subject=subject, level="ok", message=message)


def _requirements(extra: str) -> list[Requirement]:
    """Return what is required here with an extra, or with none (the empty name)."""
    every = [Requirement(line) for line in requires(FIRST_PARTY) or ()]
    return [r for r in every if _applies(r, extra) and (not extra or not _applies(r, ""))]


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _installed(requirement: Requirement) -> str:
    """Return the version that is installed; an empty one where there is none."""
    try:
        return version(requirement.name)
    except PackageNotFoundError:
        return ""


def _problem(requirement: Requirement) -> str:
    here = _installed(requirement)
    if not here:
        return f"{requirement.name} is not installed"
    if not requirement.specifier.contains(here, prereleases=True):
        return f"{requirement.name} {here} is installed, {requirement.specifier} is needed"
    return ""
