"""How a failure is told: one line, a hint, an exit code."""

import errno
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from adapterhub_lite.cli import root
from adapterhub_lite.cli.common import describe_error
from adapterhub_lite.errors import RecipeError, TrainingError, UserError


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make ``ahl fail`` a command that raises the given exception."""

    def install(error: BaseException) -> None:
        @click.command()
        @click.option("--debug", is_flag=True)
        def fail(debug: bool) -> None:
            raise error

        monkeypatch.setitem(root.COMMANDS, "fail", ("adapterhub_lite.cli.root:_fail", "Fail."))
        monkeypatch.setattr(root, "_import_command", lambda target: fail)

    return install


@pytest.mark.parametrize(
    ("word", "suggestion"),
    [("trian", "did you mean 'train'?"), ("plugin", "did you mean 'plugins'?")],
)
def test_an_unknown_command_gives_the_nearest(ahl: Any, word: str, suggestion: str) -> None:
    done = ahl(word, "x.yml")
    assert done.code == 2
    assert f"no command {word!r}; {suggestion}" in done.err
    assert done.out == ""


def test_a_command_like_no_other_points_to_help(ahl: Any) -> None:
    done = ahl("zzzzzz")
    assert done.code == 2
    assert done.err == "error: no command 'zzzzzz'\n  hint: see 'ahl --help'\n"


def test_an_unknown_option_is_the_users_mistake(ahl: Any) -> None:
    done = ahl("plugins", "list", "--jsn")
    assert done.code == 2
    assert "--json" in done.err


def test_version(ahl: Any) -> None:
    from importlib.metadata import version

    done = ahl("--version")
    assert done.code == 0
    assert version("adapterhub-lite") in done.out


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (
            RecipeError("a key is wrong", hint="mend it"),
            2,
            "error: a key is wrong\n  hint: mend it",
        ),
        (TrainingError("the run failed"), 1, "error: the run failed\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "error: no space left on device"),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "a.csv"),
            1,
            "error: no such file or directory: a.csv",
        ),
        (RuntimeError("first\nsecond"), 1, "error: RuntimeError: first\n  hint: this is a fault"),
        (KeyboardInterrupt(), 130, "interrupted: nothing was published"),
    ],
)
def test_a_failure_is_a_line_a_hint_and_a_code(
    ahl: Any, failing: Any, error: BaseException, code: int, shown: str
) -> None:
    failing(error)
    done = ahl("fail")
    assert done.code == code
    assert done.err.strip("\n").startswith(shown.strip("\n"))
    assert done.out == ""
    assert "Traceback" not in done.err


@pytest.mark.parametrize("how", ["option", "variable"])
def test_debug_shows_the_traceback(failing: Any, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    error = RecipeError("a key is wrong")
    failing(error)
    monkeypatch.setattr(sys, "argv", ["ahl", "fail", *(["--debug"] if how == "option" else [])])
    if how == "variable":
        monkeypatch.setenv("ADAPTERHUB_LITE_DEBUG", "1")
    with pytest.raises(RecipeError) as caught:
        root.main()
    assert caught.value is error


def test_an_error_without_a_message_still_has_a_line() -> None:
    assert describe_error(RuntimeError())[0].startswith("RuntimeError")


def test_what_strangers_wrote_is_shown_and_not_obeyed_by_a_terminal() -> None:
    line, hint, _ = describe_error(RecipeError("a \x1b[31m\ud800é" + "x" * 10**6, hint="\x07"))
    assert line.startswith("a \\x1b[31m\\ud800é")
    assert len(line) < 3000
    assert hint == "\\x07"


@pytest.mark.parametrize(
    "words",
    [("list",), ("show", "x"), ("fsck",), ("predict", "x", "a text"), ("fewshot", "none.csv")],
)
def test_the_home_is_an_option_of_the_command(
    ahl: Any, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    opened: list[Path | None] = []

    def stop(home: Path | None = None, **_: object) -> None:
        opened.append(home)
        raise UserError("stopped here")

    monkeypatch.setattr("adapterhub_lite_registry.Registry.open", stop)
    assert ahl(*words).err == "error: stopped here\n"
    assert ahl(*words, "--home", "elsewhere").err == "error: stopped here\n"
    assert opened == [None, Path("elsewhere")]
