"""Plugin modules for the fake distributions that tests install."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PluginSource = Callable[..., str]

HEAD = """\
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import MethodSpec, ReaderSpec, ResolvedBase
"""


@pytest.fixture
def plugin_source() -> PluginSource:
    """Write a plugin module: with methods of the given names, or with a hook's own code."""

    def write(*methods: str, code: str = "") -> str:
        specs = ", ".join(f"MethodSpec(name={name!r}, summary='A method.')" for name in methods)
        offer = f"@hookimpl\ndef adapterhub_methods():\n    return [{specs}]\n" if methods else ""
        return f"{HEAD}\n{offer}\n{code}\n"

    return write


@pytest.fixture
def ahl_process() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run ``ahl`` as a process of its own, which finds the distributions of a folder."""

    def run(*words: str, folder: Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "adapterhub_lite", *words],
            env={**os.environ, "PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
