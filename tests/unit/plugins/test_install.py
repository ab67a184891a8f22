"""``ahl plugins install`` and ``uninstall``, with pip, in an environment made for the test."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

METHOD = """\
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import MethodSpec

@hookimpl
def adapterhub_methods():
    yield MethodSpec(name="bitfit", summary="Biases only.")
"""

Ahl = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def ahl(tmp_path_factory: pytest.TempPathFactory) -> Ahl:
    """Run ``ahl`` in a new virtual environment, which sees what this one has."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    paths = [sysconfig.get_path("purelib"), *(p for p in sys.path if p.startswith("/") and p)]
    (packages / "outer.pth").write_text("".join(f"{path}\n" for path in dict.fromkeys(paths)))

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [python, "-m", "adapterhub_lite", "plugins", *words],
            env={**os.environ, "PIP_NO_INDEX": "1"},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def wheel(folder: Path, name: str, *, version: str = "1.0", plugin: bool = True) -> Path:
    """Write a wheel: a zip with a module, metadata and entry points."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}.py": METHOD,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if plugin:
        files[f"{info}/entry_points.txt"] = f"[adapterhub_lite]\nbits = {module}\n"
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


def test_install_list_upgrade_and_uninstall(ahl: Ahl, tmp_path: Path) -> None:
    done = ahl("install", str(wheel(tmp_path, "acme-bitfit")), "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert (row["name"], row["kind"], row["distribution"]) == ("bitfit", "method", "acme-bitfit")
    assert (row["version"], row["status"]) == ("1.0", "ok")
    assert "Successfully installed acme-bitfit-1.0" in done.stderr, "pip's words are shown"

    newer = wheel(tmp_path, "acme-bitfit", version="1.1")
    plain = wheel(tmp_path, "acme-plain", plugin=False)
    done = ahl("install", "--no-deps", "--upgrade", str(newer), str(plain))
    assert done.returncode == 0, done.stderr
    (line,) = [line.split() for line in done.stdout.splitlines() if " acme-bitfit " in line]
    assert line == ["bitfit", "method", "acme-bitfit", "1.1", "ok"]
    assert "acme-plain 1.0 is installed, and offers nothing to adapterhub-lite" in done.stdout

    done = ahl("uninstall", "bits", "--yes")
    assert (done.returncode, done.stdout) == (0, "removed acme-bitfit\n"), done.stderr
    assert "acme" not in ahl("list").stdout


def test_a_failure_of_pip_is_a_line_below_its_own_words(ahl: Ahl, tmp_path: Path) -> None:
    done = ahl("install", str(tmp_path / "no-such.whl"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "ERROR" in done.stderr
    assert done.stderr.endswith(
        "error: pip could not install it\n  hint: its reasons stand above\n"
    )


@pytest.mark.parametrize("option", ["--target", "--dry-run", "--report=x", "--prefix"])
def test_options_that_install_elsewhere_are_refused(option: str) -> None:
    from adapterhub_lite.errors import UserError
    from adapterhub_lite.plugins.installing import pip_install

    with pytest.raises(UserError, match="would not install into this environment"):
        pip_install(["acme", option])


def test_where_there_is_no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    from adapterhub_lite.errors import MissingDependencyError
    from adapterhub_lite.plugins import installing

    monkeypatch.setattr(installing, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match="pip is not installed") as caught:
        installing.pip_install(["acme"])
    assert caught.value.install == f"{sys.executable} -m ensurepip"
