"""``ahl plugins list``, and commands that plugins bring."""

import json
from typing import Any

import pytest

COLUMNS = ["name", "kind", "distribution", "version", "status", "error", "note"]
GROUP = "adapterhub_lite.commands"

METHOD = """\
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import MethodSpec

@hookimpl
def adapterhub_methods():
    yield MethodSpec(name="bitfit", summary="Biases only.")
"""
COMMAND = """\
import click

@click.command()
def hello():
    click.echo("hello from {name}")
"""


def listed(done: Any) -> dict[tuple[str, str], dict[str, str]]:
    assert done.code == 0
    assert done.err == ""
    return {(row["distribution"], row["name"]): row for row in json.loads(done.out)}


def test_json_has_a_row_for_everything_first_party(ahl: Any) -> None:
    rows = listed(ahl("plugins", "list", "--json", "--no-plugins"))
    for row in rows.values():
        assert list(row) == COLUMNS
    assert rows["adapterhub-lite", "full"]["kind"] == "method"
    ours = [row for row in rows.values() if row["distribution"] == "adapterhub-lite"]
    assert {row["status"] for row in ours} == {"ok"}


def test_a_broken_plugin_is_listed_with_its_error(ahl: Any, environment: Any) -> None:
    environment.install("acme", {"x": "acme_x"}, {"acme_x": "import no_such_library\n"})
    table = ahl("plugins", "list")
    assert table.code == 0
    head, *lines = [line.split() for line in table.out.splitlines() if line.strip(" ─")]
    assert head == [*COLUMNS[:5], "remark"]
    (line,) = [line for line in lines if "acme" in line]
    assert line[:6] == ["x", "plugin", "acme", "1.0", "broken", "ModuleNotFoundError:"]
    row = listed(ahl("plugins", "list", "--json"))["acme", "x"]
    assert row["error"] == "ModuleNotFoundError: No module named 'no_such_library'"


def test_a_conflict_is_listed_and_is_no_failure(ahl: Any, environment: Any) -> None:
    for name in ("acme", "other"):
        environment.install(name, {"x": f"{name}_x"}, {f"{name}_x": METHOD})
    rows = listed(ahl("plugins", "list", "--json"))
    for name in ("acme", "other"):
        assert rows[name, "bitfit"]["status"] == "conflict"
        assert rows[name, "bitfit"]["error"] == (
            "method 'bitfit' is offered by acme 1.0 and other 1.0"
        )


def test_no_plugins_blocks_a_stranger(ahl: Any, environment: Any) -> None:
    environment.install("acme", {"x": "acme_x"}, {"acme_x": METHOD})
    assert listed(ahl("plugins", "list", "--json"))["acme", "bitfit"]["status"] == "ok"
    row = listed(ahl("plugins", "list", "--json", "--no-plugins"))["acme", "x"]
    assert (row["status"], row["error"]) == ("blocked", "--no-plugins")


def test_the_schema_names_what_plugins_bring(ahl: Any, environment: Any) -> None:
    environment.install("acme", {"x": "acme_x"}, {"acme_x": METHOD})
    assert '"bitfit"' in ahl("recipe", "schema").out
    assert '"bitfit"' not in ahl("recipe", "schema", "--no-plugins").out


def test_a_strangers_command_runs(ahl: Any, environment: Any) -> None:
    modules = {"acme_x": COMMAND.format(name="acme")}
    environment.install("acme", {"hello": "acme_x:hello"}, modules, group=GROUP)
    done = ahl("hello")
    assert (done.code, done.out) == (0, "hello from acme\n")


def test_a_command_that_two_distributions_bring(ahl: Any, environment: Any) -> None:
    for name in ("acme", "other"):
        modules = {f"{name}_x": COMMAND.format(name=name)}
        environment.install(name, {"hello": f"{name}_x:hello"}, modules, group=GROUP)
    done = ahl("hello")
    assert done.code == 2
    assert "command 'hello' is offered by acme 1.0 and other 1.0" in done.err
    assert done.out == ""


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import no_such_library\n", "fails to import: ModuleNotFoundError"),
        ("import sys\nsys.exit(0)\n", "fails to import: SystemExit"),
        ("def hello():\n    pass\n", "is no click command"),
        ("", "fails to import: AttributeError"),
    ],
)
def test_a_broken_command_names_its_distribution(
    ahl: Any, environment: Any, source: str, error: str
) -> None:
    environment.install("acme", {"hello": "acme_x:hello"}, {"acme_x": source}, group=GROUP)
    done = ahl("hello")
    assert done.code == 1
    assert f"error: the command 'hello' of acme {error}" in done.err


def test_a_broken_command_stops_no_other(ahl: Any, environment: Any) -> None:
    modules = {"acme_x": "raise RuntimeError('boom')\n"}
    environment.install("acme", {"hello": "acme_x:hello"}, modules, group=GROUP)
    assert ahl("plugins", "list").code == 0
    assert ahl("--help").code == 0


def test_the_allowlist_holds_for_commands(
    ahl: Any, environment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = {"acme_x": COMMAND.format(name="acme")}
    environment.install("acme", {"hello": "acme_x:hello"}, modules, group=GROUP)
    monkeypatch.setenv("ADAPTERHUB_LITE_PLUGINS", "other")
    assert ahl("hello").code == 2
    monkeypatch.setenv("ADAPTERHUB_LITE_PLUGINS", "acme")
    assert ahl("hello").out == "hello from acme\n"
