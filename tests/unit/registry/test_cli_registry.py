"""The registry's commands, as a person and as a script meet them."""

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from adapterhub_lite.cli import registry_common
from adapterhub_lite.cli.root import cli
from adapterhub_lite_registry import AdapterHubError


@pytest.fixture
def ahl(registry, monkeypatch):
    """Run a command on the test's registry; errors of ours come out as they are."""
    monkeypatch.setenv("ADAPTERHUB_LITE_HOME", str(registry.home))

    def call(*arguments: str, fails: int = 0) -> str:
        result = CliRunner().invoke(cli, arguments)
        if isinstance(result.exception, AdapterHubError):
            raise result.exception
        assert result.exit_code == fails, result.output
        return result.output

    return call


@pytest.fixture
def filled(registry, publish):
    parent = publish(
        alias="prod",
        description="routes tickets",
        base={"ref": "org/minilm"},
        method={"name": "lora", "plugin": "adapterhub-lite"},
        hyperparameters={"r": 8},
        dataset={"id": "tickets.csv", "rows": 1234},
        metrics=[{"name": "accuracy", "value": 0.875, "ci": [0.8, 0.9], "n": 200}],
    )
    publish()
    publish("merged", kind="model", parents=[{"digest": parent.digest, "weight": 0.5}])
    return registry


def test_list(ahl, filled):
    text = ahl("list")
    assert "support@2" in text
    assert "support@1" not in text
    assert "support@1" in ahl("list", "--all")
    assert "prod" in ahl("list", "support")
    refs = [entry["ref"] for entry in json.loads(ahl("list", "support", "--json"))]
    assert refs == ["support@2", "support@1"]


def test_an_empty_registry_says_what_to_do(ahl, registry, monkeypatch):
    assert "nothing is published in" in ahl("list")
    monkeypatch.setenv("ADAPTERHUB_LITE_HOME", str(registry.home / "nowhere"))
    assert "nothing is published in" in ahl("list")
    assert "nothing is published in" in ahl("search", "x")
    assert json.loads(ahl("list", "--json")) == json.loads(ahl("search", "--json")) == []
    assert not (registry.home / "nowhere").exists()
    with pytest.raises(AdapterHubError, match="no registry"):
        ahl("show", "x")


def test_list_warns_of_what_it_cannot_show(ahl, filled, flip):
    digest = filled.resolve("merged").digest.removeprefix("sha256:")
    flip(filled.home / "manifests" / "sha256" / digest[:2] / digest)
    filled.reindex()
    assert "warning: refs/merged/v/00000001" in ahl("list")


def test_show(ahl, filled):
    text = ahl("show", "support@prod")
    for part in (
        "support@1",
        "routes tickets",
        "lora",
        "r=8",
        "1,234 rows",
        "0.8 to 0.9",
        "7.0 kB",
    ):
        assert part in text
    shown = json.loads(ahl("show", "support@prod", "--json"))
    assert shown["manifest"]["schema"] == 1
    assert shown["aliases"] == ["prod"]


def test_search(ahl, filled):
    assert "support@1" in ahl(
        "search", "ticket", "--metric", "accuracy>=0.8", "--sort", "-accuracy"
    )
    assert ahl("search", "--method", "none").strip() == "nothing matches"
    assert [e["ref"] for e in json.loads(ahl("search", "--kind", "model", "--json"))] == [
        "merged@1"
    ]
    assert "the first 1" in ahl("search", "--limit", "1")
    with pytest.raises(AdapterHubError, match="cannot read"):
        ahl("search", "--metric", "good")
    ahl("search", "--limit", "0", fails=2)


def test_alias(ahl, filled):
    assert "(was support@1)" in ahl("alias", "set", "support@2", "prod", "--expect", "1")
    assert ahl("alias", "set", "support@1", "next", "--expect", "new").startswith("support@next")
    assert json.loads(ahl("alias", "list", "support", "--json")) == {"next": 1, "prod": 2}
    assert "support@2" in ahl("alias", "list", "support")
    assert ahl("alias", "rm", "support@prod").strip() == "removed support@prod"
    assert ahl("alias", "list", "merged").strip() == "merged has no aliases"
    ahl("alias", "rm", "support", fails=2)
    ahl("alias", "set", "support@1", "next", "--expect", "x", fails=2)
    with pytest.raises(AdapterHubError, match="points to"):
        ahl("alias", "set", "support@2", "next", "--expect", "2")
    assert json.loads(ahl("alias", "set", "support@2", "next", "--json"))["before"] == 1


def test_log(ahl, filled):
    text = ahl("log", "support@1")
    assert "merged@1, model, weight 0.5" in text
    assert "new → 1" in text
    shown = json.loads(ahl("log", "merged", "--json"))
    assert shown["parents"][0]["ref"] == "support@1"


def test_path_and_checkout(ahl, filled, tmp_path):
    folder = ahl("path", "support").strip()
    assert json.loads(ahl("path", "support", "--json"))["path"] == folder
    out = tmp_path / "out"
    ahl("checkout", "support@prod", str(out))
    assert (out / "adapter_config.json").read_bytes() == b'{"r": 8}'
    with pytest.raises(AdapterHubError, match="not an empty folder"):
        ahl("checkout", "support@prod", str(out))
    assert "path" in json.loads(
        ahl("checkout", "support", str(tmp_path / "o2"), "--link", "--json")
    )


def test_rm(ahl, filled):
    assert "would remove support@2" in ahl("rm", "support@2", "--dry-run")
    for arguments in (["support@1"], ["support@1", "--dry-run"]):
        with pytest.raises(AdapterHubError, match="alias prod"):
            ahl("rm", *arguments)
    assert "children" in json.loads(ahl("rm", "support@1", "--dry-run", "--json"))
    assert "removed support@2" in ahl("rm", "support@2")


def test_reindex(ahl, filled):
    assert ahl("reindex").strip() == "indexed 3 versions"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (4_200_000, "4.2 MB"), (3 * 10**12, "3.0 TB")]
)
def test_sizes(size, text):
    assert registry_common.human_size(size) == text


@pytest.mark.parametrize(
    ("stamp", "text"),
    [
        ("2026-05-09T11:59:30.000000Z", "just now"),
        ("2026-05-09T11:59:00.000000Z", "1 minute ago"),
        ("2026-05-09T09:00:00.000000Z", "3 hours ago"),
        ("2026-05-06T12:00:00.000000Z", "3 days ago"),
    ],
)
def test_times(stamp, text):
    assert registry_common.human_time(stamp, datetime(2026, 5, 9, 12, tzinfo=UTC)) == text


@pytest.mark.parametrize("command", [["list"], ["show", "support"], ["search", "support"]])
def test_looking_around_imports_nothing_heavy(filled, command):
    script = (
        "import sys; from adapterhub_lite.cli.root import cli\n"
        f"cli({command!r} + ['--home', {str(filled.home)!r}], standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_errors_cost_no_pydantic():
    script = (
        "import sys, adapterhub_lite_registry as r\n"
        "r.NotFoundError\n"
        "assert not {'pydantic', 'sqlite3', 'filelock'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_exported_name_is_there():
    import adapterhub_lite_registry as package

    assert {name for name in package.__all__ if not hasattr(package, name)} == set()
    with pytest.raises(AttributeError):
        package.nothing  # noqa: B018
