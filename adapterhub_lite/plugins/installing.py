"""Installing and removing plugin distributions with pip, in the environment that is running."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from adapterhub_lite.errors import MissingDependencyError, UserError
from adapterhub_lite.plugins.discovery import canonical_name

ELSEWHERE: Final = ("--target", "-t", "--root", "--prefix", "--dry-run", "--report")
"""Options of pip's after which nothing can be said of what this Python has gained."""

STDERR: Final = 2
"""Where pip writes: stdout belongs to the table or the JSON that follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A distribution that pip has just installed; ``requested`` if it was asked for by name."""

    name: str
    version: str
    requested: bool


def pip_install(arguments: Sequence[str]) -> list[Installed]:
    """Run ``pip install`` with these arguments; return what it installed, nothing left out.

    Raises UserError when pip fails, having said why on stderr, and for an option of pip's that
    installs elsewhere; MissingDependencyError where there is no pip.
    """
    for argument in arguments:
        option = argument.partition("=")[0]
        if option in ELSEWHERE:
            raise UserError(
                f"{option} would not install into this environment, or not at all",
                hint=f"use pip itself: {sys.executable} -m pip install {option} …",
            )
    with TemporaryDirectory(prefix="ahl-pip-") as folder:
        report = Path(folder) / "report.json"
        done = _pip("install", "--report", str(report), *arguments)
        if done != 0:
            raise UserError("pip could not install it", hint="its reasons stand above")
        if not report.exists():  # an option made pip do something else
            return []
        return [_installed(entry) for entry in json.loads(report.read_bytes())["install"]]


def pip_uninstall(distributions: Sequence[str]) -> None:
    """Remove distributions without asking; raises as :func:`pip_install`."""
    if _pip("uninstall", "--yes", *distributions) != 0:
        raise UserError("pip could not uninstall it", hint="its reasons stand above")


def fresh_listing() -> list[dict[str, str]]:
    """Return the rows of ``ahl plugins list`` as a process started now sees them.

    What has just been installed cannot be trusted to load beside what this process has loaded.
    """
    done = subprocess.run(
        [sys.executable, "-m", "adapterhub_lite", "plugins", "list", "--json"],
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        raise UserError(
            "the plugins cannot be listed any more", hint="see: ahl doctor; pip list tells the rest"
        )
    rows: list[dict[str, str]] = json.loads(done.stdout)
    return rows


def _pip(verb: str, *arguments: str) -> int:
    if find_spec("pip") is None:
        raise MissingDependencyError("pip", install=f"{sys.executable} -m ensurepip")
    command = [sys.executable, "-m", "pip", verb, "--disable-pip-version-check", *arguments]
    return subprocess.run(command, stdout=STDERR, check=False).returncode  # noqa: S603


def _installed(entry: dict[str, Any]) -> Installed:
    metadata = entry["metadata"]
    return Installed(
        name=canonical_name(metadata["name"]),
        version=metadata["version"],
        requested=entry["requested"],
    )
