"""What ``ahl plugins new`` writes installs as it is, and passes its own tests unchanged."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from adapterhub_lite.scaffold import KINDS, write_plugin


def environment(*places: Path) -> dict[str, str]:
    """Return the variables of a process that finds what lies in ``places``."""
    known = os.environ.get("PYTHONPATH", "")
    paths = [*map(str, places), *([known] if known else [])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


def run(*command: str, environ: dict[str, str], cwd: Path) -> str:
    """Run a Python module and return what it said; fails with that when it does."""
    done = subprocess.run(
        [sys.executable, "-m", *command], env=environ, cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def as_if_installed(folder: Path) -> None:
    """Put beside a distribution's module what its wheel would: metadata with the entry points."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    told = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(told, encoding="utf-8")
    groups = project["entry-points"].items()
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
        for group, entries in groups
    )
    (info / "entry_points.txt").write_text(points, encoding="utf-8")


@pytest.mark.slow
def test_every_kind_passes_its_own_tests(tmp_path: Path) -> None:
    folders = [tmp_path / f"try-{kind}" for kind in KINDS]
    for kind, folder in zip(KINDS, folders, strict=True):
        write_plugin(folder.name, kind, folder)
        as_if_installed(folder)
    tests = [str(folder / "tests") for folder in folders]
    run(
        *("pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "--import-mode=importlib"),
        *("--rootdir", str(tmp_path), *tests),
        environ=environment(*folders),
        cwd=tmp_path,
    )


@pytest.mark.slow
def test_its_wheel_holds_the_module_and_the_entry_point(tmp_path: Path) -> None:
    write_plugin("bias-tuning", "method", tmp_path / "bias-tuning")
    target = tmp_path / "installed"
    run(
        *("pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"),
        *("--target", str(target), str(tmp_path / "bias-tuning")),
        environ=environment(),
        cwd=tmp_path,
    )
    assert (target / "bias_tuning.py").is_file()
    assert not (target / "tests").exists()
    said = run(
        *("adapterhub_lite", "methods", "show", "bias-tuning"),
        environ=environment(target),
        cwd=tmp_path,
    )
    assert "bias-tuning 0.1.0" in said
