"""The registry: whether what it says it holds is there, without reading all of it."""

import os
from collections.abc import Iterator
from pathlib import Path

from adapterhub_lite.environment.findings import Finding, Level
from adapterhub_lite.wording import counted
from adapterhub_lite_registry import NotFoundError, Problem, Registry, RegistryError

SHOWN = 5
"""How many problems are listed one by one."""


def registry_findings(home: Path) -> Iterator[Finding]:
    """Yield how the registry at ``home`` is; one that is not there yet is well."""
    try:
        registry = Registry.open(home, create=False)
    except NotFoundError:
        yield _finding("ok", f"nothing is published at {home} yet")
        return
    except (RegistryError, OSError) as error:
        yield _finding("fault", f"{home} does not open: {error}", getattr(error, "hint", ""))
        return
    report = registry.fsck()
    problems = report.problems
    for problem in problems[:SHOWN]:
        yield _finding("fault", str(problem), _way_out(problem))
    if len(problems) > SHOWN:
        more = counted(len(problems) - SHOWN, "problem")
        yield _finding("fault", f"and {more} more", "see: ahl fsck")
    if not os.access(home, os.W_OK):
        yield _finding(
            "warning",
            f"{home} cannot be written to: nothing can be published",
            f"chmod u+w {home}, or choose another place with --home",
        )
    if not problems:
        yield _finding(
            "ok",
            f"{home}: {counted(report.versions, 'version')}, complete; their files were not read",
            "to read and hash every byte: ahl fsck --read-data",
        )


def _way_out(problem: Problem) -> str:
    """Say what can be done."""
    if problem.versions:
        ref = problem.versions[0]
        return f"ahl repair {ref}, where there is a copy; else train again, and: ahl rm {ref}"
    return "see: ahl repair"


def _finding(level: Level, message: str, way_out: str = "") -> Finding:
    return Finding(
        area="registry", subject="registry", level=level, message=message, way_out=way_out
    )
