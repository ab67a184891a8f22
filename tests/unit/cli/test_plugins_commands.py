"""``ahl plugins list`` tells of commands that strangers bring: usable, in conflict, or hidden."""

import json
import sys
from typing import Any

import pytest

GROUP = "adapterhub_lite.commands"
COMMAND = """\
import click

@click.command()
def hello():
    click.echo("hello")
"""


def install(environment: Any, distribution: str, command: str, source: str = COMMAND) -> None:
    module = f"{distribution}_commands"
    environment.install(
        distribution, {command: f"{module}:hello"}, {module: source}, version="3.2", group=GROUP
    )


def commands(ahl: Any, *words: str) -> dict[tuple[str, str], dict[str, str]]:
    done = ahl("plugins", "list", "--json", *words)
    assert done.code == 0, done.err
    rows = [row for row in json.loads(done.out) if row["kind"] == "command"]
    return {(row["distribution"], row["name"]): row for row in rows}


def test_there_are_none_at_first(ahl: Any) -> None:
    assert commands(ahl) == {}


def test_a_command_is_listed_and_runs(ahl: Any, environment: Any) -> None:
    install(environment, "acme", "hello")
    assert commands(ahl) == {
        ("acme", "hello"): {
            "name": "hello",
            "kind": "command",
            "distribution": "acme",
            "version": "3.2",
            "status": "ok",
            "error": "",
            "note": "",
        }
    }
    assert ahl("hello").out == "hello\n"


def test_the_table_has_it_too(ahl: Any, environment: Any) -> None:
    install(environment, "acme", "hello")
    (line,) = [line for line in ahl("plugins", "list").out.splitlines() if "acme" in line]
    assert line.split() == ["hello", "command", "acme", "3.2", "ok"]


def test_two_distributions_of_one_command_are_both_in_conflict(ahl: Any, environment: Any) -> None:
    for name in ("acme", "other"):
        install(environment, name, "hello")
    install(environment, "third", "greet")
    rows = commands(ahl)
    for name in ("acme", "other"):
        assert rows[name, "hello"]["status"] == "conflict"
        assert rows[name, "hello"]["error"] == (
            "command 'hello' is offered by acme 3.2 and other 3.2"
        )
    assert rows["third", "greet"]["status"] == "ok"
    assert ahl("hello").code == 2


def test_a_command_of_ours_hides_a_strangers(ahl: Any, environment: Any) -> None:
    install(environment, "acme", "list")
    row = commands(ahl)["acme", "list"]
    assert row["status"] != "ok"
    assert row["error"] == "hidden by the project's own command 'list'"
    assert ahl("list").out != "hello\n"


def test_listing_imports_no_command(ahl: Any, environment: Any) -> None:
    install(environment, "acme", "hello", "raise RuntimeError('it was imported')\n")
    assert commands(ahl)["acme", "hello"]["status"] == "ok"
    assert "acme_commands" not in sys.modules


def test_a_command_that_may_not_load_is_blocked(
    ahl: Any, environment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(environment, "acme", "hello")
    assert commands(ahl, "--no-plugins")["acme", "hello"]["status"] == "blocked"
    monkeypatch.setenv("ADAPTERHUB_LITE_PLUGINS", "other")
    row = commands(ahl)["acme", "hello"]
    assert (row["status"], row["error"]) == ("blocked", "not in ADAPTERHUB_LITE_PLUGINS")


def test_the_allowlist_settles_a_conflict(
    ahl: Any, environment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("acme", "other"):
        install(environment, name, "hello")
    monkeypatch.setenv("ADAPTERHUB_LITE_PLUGINS", "acme")
    assert ahl("hello").out == "hello\n"
    assert commands(ahl)["acme", "hello"]["status"] == "ok"
