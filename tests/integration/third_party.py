"""Distributions of strangers, built from ``examples/`` and installed beside the real ones."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapterhub_lite.plugins import get_catalogue

EXAMPLES = Path(__file__).parents[2] / "examples"


def build(example: str, place: Path) -> Path:
    """Build an example's wheel and install it into a folder, offline; return the folder.

    What pip leaves there is what it leaves in an environment: modules and metadata.
    """
    target = place / f"site-{example}"
    words = ["install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    done = subprocess.run(
        [*pip, "--target", str(target), str(EXAMPLES / example)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """Have a distribution on the path, for this process and its children; then remove it again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder))
        get_catalogue.cache_clear()
        yield
    get_catalogue.cache_clear()
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
