"""my-plugin's command runs in a fresh registry, and has a line for the list of commands."""

from pathlib import Path

from click.testing import CliRunner
from my_plugin import command


def test_an_empty_registry_has_no_versions(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["--json", "--home", str(tmp_path)])
    assert result.exit_code == 0
    assert result.output == "{}\n"


def test_help_says_what_it_does() -> None:
    assert "Count" in (command.short_help or "")
