"""Plugins themselves are held to the kit: their modules, their other hooks, their commands."""

from collections.abc import Mapping

import pytest

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import PluginError
from adapterhub_lite.plugins import PluginSource, get_catalogue
from adapterhub_lite.testing import CheckResult, check_plugin
from tests.conformance.broken.entries import admitted
from tests.conformance.broken.plugins import BROKEN, noisy
from tests.conftest import Environment

CATALOGUE = get_catalogue(first_party_only=True)
COMMAND = """
import click

@click.command(short_help="Say hello.")
def hello():
    click.echo("hello")

@click.command()
def silent():
    click.echo("a command without a word of help")
"""


def of_plugin(catalogue: Catalogue, plugin: str) -> list[CheckResult]:
    """Return how the checks of the plugin itself went, which come first."""
    found = []
    for result in check_plugin(catalogue, plugin):
        if result.kind != "plugin":
            break
        found.append(result)
    return found


def faults(results: list[CheckResult]) -> Mapping[str, str]:
    return {result.check: result.message for result in results if not result.ok}


@pytest.mark.parametrize("plugin", [record.source.id for record in CATALOGUE.records])
def test_a_first_party_plugin_passes(plugin: str) -> None:
    results = of_plugin(CATALOGUE, plugin)
    assert not faults(results)
    assert sum(result.status == "passed" for result in results) >= 4


@pytest.mark.parametrize(("broken", "check", "says"), BROKEN)
def test_a_broken_plugin_fails_one_check(broken: type, check: str, says: str) -> None:
    catalogue, source = admitted(broken())
    found = faults(of_plugin(catalogue, source.id))
    assert list(found) == [check]
    assert says in found[check]


def test_what_a_plugin_prints_and_imports_is_seen_though_it_was_loaded_before() -> None:
    catalogue, source = admitted(noisy())
    found = faults(of_plugin(catalogue, source.id))
    assert found.keys() == {"check_loads_quietly", "check_loads_lightly"}
    assert "loaded with pandas" in found["check_loads_quietly"]
    assert "pandas" in found["check_loads_lightly"]


@pytest.mark.parametrize(
    ("target", "says"),
    [("hello", None), ("silent", "has no help"), ("COMMANDS", "fails to import")],
)
def test_commands_are_tried(environment: Environment, target: str, says: str | None) -> None:
    points = {"greet": f"greeting:{target}"}
    environment.install("greeting", points, {"greeting": COMMAND}, group="adapterhub_lite.commands")
    catalogue = Catalogue([PluginSource("greet", "greeting", "1.0", lambda: object())])
    results = {result.check: result for result in of_plugin(catalogue, "greeting")}
    assert results["check_commands"].ok == (says is None)
    assert (says or "") in results["check_commands"].message


def test_what_cannot_be_checked_is_refused() -> None:
    with pytest.raises(PluginError, match="no plugin 'reader'") as caught:
        list(check_plugin(CATALOGUE, "reader"))
    assert "'readers'" in caught.value.hint

    def fails() -> object:
        raise ImportError("no such module")

    catalogue = Catalogue([PluginSource("broken", "stranger", "1.0", fails)])
    with pytest.raises(PluginError, match=r"is broken: .*no such module"):
        list(check_plugin(catalogue, "stranger"))
