"""Help: complete, true, and at no cost."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import click

from adapterhub_lite.cli.root import COMMANDS, cli

SHARED = {"--home", "--no-plugins", "--debug"}
WITHOUT_JSON = {
    ("recipe", "schema"): "prints JSON anyway",
    ("serve",): "its log is JSON",
}
"""Commands without --json, and why."""


def all_commands(
    command: click.Command, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a command and every command below it."""
    yield words, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            child = command.get_command(click.Context(command), name)
            assert child is not None
            yield from all_commands(child, (*words, name))


def options_of(command: click.Command) -> set[str]:
    return {word for parameter in command.params for word in parameter.opts}


def test_help_imports_nothing_that_is_slow() -> None:
    code = (
        "import sys\nfrom adapterhub_lite.cli.root import cli\n"
        "cli.main(['--help'], standalone_mode=False)\n"
        "import json; print(json.dumps(list(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(json.loads(done.stderr))
    assert not loaded & {"torch", "pydantic", "pluggy", "numpy", "yaml", "rich", "transformers"}
    assert "click" in loaded
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert " ".join(summary.split()[:3]) in done.stdout


def test_the_summary_in_the_table_is_the_commands_own(
    command_name: str, command: click.Command
) -> None:
    # click ends a summary that it takes from the help text without the full stop
    summary = command.get_short_help_str(limit=100).rstrip(".")
    assert f"{summary}." == COMMANDS[command_name][1]


def test_every_command_has_help_that_prints(
    ahl: Any, command_name: str, command: click.Command
) -> None:
    for words, found in all_commands(command, (command_name,)):
        assert found.help, words
        assert not found.get_short_help_str(limit=100).endswith("..."), words
        done = ahl(*words, "--help")
        assert done.code == 0, words
        assert done.out.startswith(f"Usage: ahl {' '.join(words)} "), words
        assert found.help.split("\n")[0].split()[0] in done.out, words
        assert done.err == "", words
        assert ahl(*words, "-h") == done, words


def test_every_option_has_help(command_name: str, command: click.Command) -> None:
    for words, found in all_commands(command, (command_name,)):
        options = [option for option in found.params if isinstance(option, click.Option)]
        assert [option.name for option in options if not option.help] == [], words


def test_every_leaf_takes_the_shared_options(command_name: str, command: click.Command) -> None:
    for words, found in all_commands(command, (command_name,)):
        if not isinstance(found, click.Group):
            assert options_of(found) >= SHARED, words


def test_every_leaf_that_prints_results_prints_json(
    command_name: str, command: click.Command
) -> None:
    for words, found in all_commands(command, (command_name,)):
        if not isinstance(found, click.Group):
            assert ("--json" in options_of(found)) is (words not in WITHOUT_JSON), words


def test_the_exceptions_from_json_are_commands() -> None:
    for words in WITHOUT_JSON:
        assert words[0] in COMMANDS


def test_both_console_scripts_are_the_same() -> None:
    from importlib.metadata import entry_points

    scripts = entry_points(group="console_scripts")
    targets = {scripts[name].value for name in ("ahl", "adapterhub-lite")}
    assert targets == {"adapterhub_lite.cli:main"}


def test_the_group_itself_lists_every_command() -> None:
    assert cli.list_commands(click.Context(cli)) == list(COMMANDS)
