"""The command line as a person types it, and tiny bases and rows to use it on."""

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.testing import TINY_ROWS, write_tiny_model


@dataclass(frozen=True)
class Output:
    """What a command left: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The parsed standard output."""
        return json.loads(self.out)


Ahl = Callable[..., Output]


@pytest.fixture
def ahl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ahl:
    """Return a function that runs ``ahl`` in this process, errors and exit codes included."""
    from adapterhub_lite.cli.root import main

    def run(*words: object) -> Output:
        monkeypatch.setattr(sys, "argv", ["ahl", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return Output(stop.value.code, out, err)

    return run


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny random BERT."""
    return write_tiny_model(tmp_path_factory.mktemp("base") / "tiny-bert")


def write_csv(file: Path, rows: "list[tuple[str, str]]") -> Path:
    """Write rows of text and label."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        writer.writerows(rows)
    return file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a fresh folder with ``train.csv`` and ``test.csv`` of three labels."""
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "train.csv", [row for i, row in enumerate(TINY_ROWS) if i % 6 < 4])
    write_csv(tmp_path / "test.csv", [row for i, row in enumerate(TINY_ROWS) if i % 6 >= 4])
    return tmp_path
