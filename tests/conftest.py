"""What every test has: a home of its own, no network, and distributions made on the spot."""

import gc
import importlib
import itertools
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported, so before any test
# Threads that wait for work in tiny models spin, and starve the test that runs beside: as many
# processes as cores, each with a thread, take a third of the time. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says something about the machine only, and it may be a busy one.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_collection_finish() -> None:
    """Keep modules and tests out of the garbage collector's walks, a twentieth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Count folders by itself: ``mktemp`` lists all there are to find the next number."""
    place = tmp_path_factory.mktemp("homes")
    return (place / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def home(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the test a registry home of its own, for subprocesses too.

    It goes with the test: thousands of registries at the end would take minutes to remove.
    """
    place = next(homes)
    place.mkdir()
    monkeypatch.setenv("ADAPTERHUB_LITE_HOME", str(place))
    monkeypatch.setenv("ADAPTERHUB_LITE_CONFIG", str(place / "config"))
    monkeypatch.delenv("ADAPTERHUB_LITE_PLUGINS", raising=False)
    monkeypatch.delenv("ADAPTERHUB_LITE_TRACE_HOOKS", raising=False)
    monkeypatch.delenv("ADAPTERHUB_LITE_DEBUG", raising=False)
    yield place
    shutil.rmtree(place, ignore_errors=True)


class Environment:
    """A folder on ``sys.path`` into which tests install distributions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self,
        name: str,
        entry_points: Mapping[str, str],
        modules: Mapping[str, str],
        *,
        version: str = "1.0",
        group: str = "adapterhub_lite",
    ) -> None:
        """Write a distribution as pip leaves it: metadata, entry points and modules."""
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = [f"{point} = {target}\n" for point, target in entry_points.items()]
        (info / "entry_points.txt").write_text(f"[{group}]\n{''.join(lines)}")
        for module, source in modules.items():
            (self.folder / f"{module}.py").write_text(source)
        importlib.invalidate_caches()


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    """Make an environment whose distributions are found beside the real ones."""
    from adapterhub_lite.plugins import get_catalogue

    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    get_catalogue.cache_clear()
    yield Environment(folder)
    get_catalogue.cache_clear()
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
