"""Commands that use no plugin load none, and help does not even look for them."""

from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite import plugins
from adapterhub_lite_registry import ManifestDraft, Registry

LEAVES_A_MARK = "from pathlib import Path\nPath(__file__).with_suffix('.loaded').touch()\n"


@pytest.fixture
def mark(environment: Any, home: Path) -> Path:
    """Install a plugin and a command that leave a mark when they are imported."""
    environment.install("acme", {"x": "acme_x"}, {"acme_x": LEAVES_A_MARK})
    group = "adapterhub_lite.commands"
    environment.install("acme-cli", {"hello": "acme_x:hello"}, {}, group=group)
    Registry.open(home).publish("words", {"a": b"a"}, ManifestDraft(kind="model"))
    return Path(environment.folder / "acme_x.loaded")


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "--version",
        "list",
        "list words",
        "show words",
        "search word",
        "log words",
        "fsck",
        "alias list words",
        "plugins --help",
    ],
)
def test_no_plugin_is_imported(ahl: Any, mark: Path, words: str) -> None:
    assert ahl(*words.split()).code == 0
    assert not mark.exists()


def test_the_mark_is_left_where_plugins_are_used(ahl: Any, mark: Path) -> None:
    assert ahl("methods", "list").code == 0
    assert mark.exists()


@pytest.mark.parametrize("words", ["--help", "list"])
def test_nobody_looks_for_plugins(
    ahl: Any, mark: Path, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(**_: object) -> None:
        pytest.fail("entry points were read")

    monkeypatch.setattr(plugins.discovery, "entry_points", look)
    assert ahl(words).code == 0
