"""The command line as a person meets it: one process, its output and its exit code."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click
import pytest

from adapterhub_lite.cli.root import COMMANDS, cli, main
from adapterhub_lite.plugins import get_catalogue


@dataclass(frozen=True)
class Done:
    """What a command printed, and what it exited with."""

    code: int
    out: str
    err: str


Ahl = Callable[..., Done]


@pytest.fixture
def ahl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Ahl]:
    """Run ``ahl`` with the given words, through the same ``main`` as the console script."""

    def run(*words: str) -> Done:
        get_catalogue.cache_clear()
        monkeypatch.setattr(sys, "argv", ["ahl", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        code = stopped.value.code
        assert isinstance(code, int)
        return Done(code, printed.out, printed.err)

    yield run
    get_catalogue.cache_clear()


@pytest.fixture(params=COMMANDS)
def command_name(request: pytest.FixtureRequest) -> str:
    """Name each command that comes with the project."""
    return str(request.param)


@pytest.fixture
def command(command_name: str) -> click.Command:
    """Import each command that comes with the project."""
    found = cli.get_command(click.Context(cli), command_name)
    assert found is not None
    return found
