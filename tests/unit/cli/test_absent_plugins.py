"""A version made with a plugin that is not installed: it lists, shows, and says what it lacks."""

from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.inference.artifact import ArtifactInfo, Origin, write_artifact_info
from adapterhub_lite.training.publish import publish_folder
from adapterhub_lite_registry import Component, ManifestDraft, Registry

INSTALL = "ahl plugins install 'acme-bitfit==1.2'"
METHOD = Component(name="bitfit", plugin="acme-bitfit", plugin_version="1.2")
STRATEGY = Component(name="acme-merge", plugin="acme-merges", plugin_version="3")


@pytest.fixture
def support(home: Path, tmp_path: Path) -> Registry:
    """Hold ``support@1``, whose method nobody here offers."""
    origin = Origin(kind="method", name="bitfit", distribution="acme-bitfit", version="1.2")
    write_artifact_info(
        tmp_path,
        ArtifactInfo(
            task="text-classification",
            method="bitfit",
            objective="classification",
            origins=(origin,),
        ),
    )
    draft = ManifestDraft(kind="model", method=METHOD, strategies=(STRATEGY,))
    registry = Registry.open(home)
    publish_folder(tmp_path, "support", draft, registry)
    return registry


def test_it_lists_and_shows(ahl: Any, support: Registry) -> None:
    assert "support@1" in ahl("list").out
    shown = ahl("show", "support")
    assert (shown.code, shown.err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in shown.out.split("\n\n")[0].splitlines())
    assert lines["method"] == f"bitfit, acme-bitfit, 1.2 (not installed; to use it: {INSTALL})"
    assert lines["strategy"].startswith("acme-merge, acme-merges, 3 (not installed; to use it: ")


def test_show_tells_of_another_version(ahl: Any, support: Registry, environment: Any) -> None:
    environment.install("acme-bitfit", {}, {}, version="2.0")
    assert "bitfit, acme-bitfit, 1.2 (2.0 is installed)\n" in ahl("show", "support").out
    environment.install("acme-merges", {}, {}, version="3")
    assert "acme-merge, acme-merges, 3\n" in ahl("show", "support").out


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "support", "a text"),
        ("bake", "support", "--into", "whole"),
        ("export", "support", "out", "--format", "transformers"),
    ],
)
def test_using_it_says_what_to_install(
    ahl: Any,
    support: Registry,
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = ahl(*words)
    assert done.code == 2
    assert done.err == (
        "error: support@1 needs the method 'bitfit' of acme-bitfit 1.2, which is not installed\n"
        f"  hint: run: {INSTALL}\n"
    )
    assert support.names() == ["support"]


def test_a_folder_says_it_too(ahl: Any, support: Registry, tmp_path: Path) -> None:
    folder = support.checkout(support.resolve("support"), tmp_path / "out")
    done = ahl("predict", str(folder), "a text")
    assert done.code == 2
    assert f"hint: run: {INSTALL}" in done.err
