"""Runs a probe for each third-party plugin: what it does to a process cannot be foreseen."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

PATIENCE: Final = 120
"""Seconds that a plugin may take to load."""

Group = Literal["plugins", "commands"]


@dataclass(frozen=True, slots=True)
class Probed:
    """What a plugin, or a command, did when it was loaded on its own."""

    group: Group
    id: str
    status: str
    error: str = ""
    printed: str = ""
    heavy: tuple[str, ...] = ()
    offers: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0


def probe_all(wanted: Iterable[tuple[Group, str]]) -> list[Probed]:
    """Load each of them in a process of its own, several at once; return them in order."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda one: _probe(*one), wanted))


def _probe(group: Group, name: str) -> Probed:
    with TemporaryDirectory(prefix="ahl-probe-") as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "adapterhub_lite.environment.probe", group, name]
        try:
            done = subprocess.run(  # noqa: S603 -- a module of our own
                [*command, str(report)],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PATIENCE,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Probed(group, name, "broken", f"does not load within {PATIENCE} seconds")
        if not report.exists():
            return Probed(group, name, "broken", _death(done))
        seen = json.loads(report.read_bytes())
    seen["heavy"] = tuple(seen.get("heavy", ()))
    seen["offers"] = tuple((kind, offer) for kind, offer in seen.get("offers", ()))
    return Probed(group, name, **seen)


def _death(done: "subprocess.CompletedProcess[str]") -> str:
    """Say how a process ended that left no report."""
    if done.returncode < 0:
        return f"kills the process that loads it (signal {-done.returncode})"
    last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
    return f"ends the process that loads it (exit code {done.returncode}): {last}"
