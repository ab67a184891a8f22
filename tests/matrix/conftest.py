"""Bases and rows made once, a process to reload in, and trainings."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from adapterhub_lite import api
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.training.results import TrainResult
from adapterhub_lite_registry import Registry
from tests.matrix import fresh
from tests.matrix.cells import Bench, Cell, write_bench
from tests.matrix.watching import Watching


def digests(folder: Path) -> dict[str, str]:
    """Return the hash of every file."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


class Elsewhere:
    """Another process, which loads versions; it is started when it is first asked."""

    def __init__(self, home: Path, folder: Path) -> None:
        self._home, self._folder = home, folder
        self._process: subprocess.Popen[str] | None = None

    def scores(self, ref: str, data: Path, rows: str) -> NDArray[np.float64]:
        """Return how a version scores rows there."""
        file = self._folder / "scores.npy"
        asked = {"ref": ref, "data": str(data), "rows": rows, "scores": str(file)}
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            self._process = None
            process.wait()
            raise AssertionError((self._folder / "errors").read_text()[-2000:])
        assert json.loads(answer) == {"ref": ref}
        found: NDArray[np.float64] = np.load(file)
        return found

    def stop(self) -> None:
        """End the process."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()

    def _start(self) -> "subprocess.Popen[str]":
        with (self._folder / "errors").open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, fresh.__file__, str(self._home)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        return self._process


@dataclass(frozen=True)
class Lab:
    """What cells are trained with."""

    bench: Bench
    registry: Registry
    catalogue: Catalogue
    elsewhere: Elsewhere
    bases: dict[str, dict[str, str]]

    def train(self, cell: Cell, catalogue: Catalogue) -> TrainResult:
        """Train a cell and publish it under its name."""
        recipe = {**self.bench.recipe(cell), "publish": cell.name}
        return api.train(recipe, registry=self.registry, catalogue=catalogue)

    def watching(self) -> Watching:
        """Return a catalogue that keeps what is trained."""
        return Watching(self.catalogue)


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return write_bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="session")
def lab(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Make a registry, a process to reload in, and remember every byte of the bases."""
    home = tmp_path_factory.mktemp("matrix-home")
    elsewhere = Elsewhere(home, tmp_path_factory.mktemp("elsewhere"))
    catalogue = get_catalogue(first_party_only=True)
    bases = {name: digests(bench.folder / name) for name in ("bert", *_others(bench))}
    yield Lab(bench, api.open_registry(home), catalogue, elsewhere, bases)
    elsewhere.stop()


def _others(bench: Bench) -> list[str]:
    return [folder.name for folder in bench.folder.iterdir() if folder.is_dir()]


@pytest.fixture
def without_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write empty reports: drawing their curves takes as long as training."""

    def empty(file: Path, *_: Any) -> None:
        file.touch()

    monkeypatch.setattr("adapterhub_lite.training.artifact.write_report", empty)
