"""A version made with a plugin that is not installed: it lists, shows, and says what it lacks."""

from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.inference.artifact import (
    ArtifactInfo,
    Composed,
    Origin,
    write_artifact_info,
)
from adapterhub_lite.testing import write_tiny_model
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
        ("export", "support", "out", "--format", "hf"),
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


@pytest.fixture
def mixture(home: Path, tmp_path: Path) -> Registry:
    """Hold ``mixture@1``, a composition that nobody here offers."""
    origin = Origin(kind="composition", name="acme-mix", distribution="acme-mixes", version="2")
    write_artifact_info(
        tmp_path,
        ArtifactInfo(
            task="text-classification",
            method="lora",
            objective="classification",
            composition=Composed(name="acme-mix", members=()),
            origins=(origin,),
        ),
    )
    registry = Registry.open(home)
    publish_folder(tmp_path, "mixture", ManifestDraft(kind="composition"), registry)
    return registry


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Hold a model that can be merged, which is looked at before the strategy."""
    return write_tiny_model(tmp_path / "whole", num_hidden_layers=1)


@pytest.mark.parametrize(
    ("words", "says", "install"),
    [
        (
            ("merge", "./whole", "./whole", "--strategy", "acme-merge"),
            "the strategy 'acme-merge' of acme-merges 3",
            "acme-merges==3",
        ),
        (
            ("train", "--set", "method=bitfit", "train.yml"),
            "the method 'bitfit' of acme-bitfit 1.2",
            "acme-bitfit==1.2",
        ),
        (
            ("compose", "support", "support", "--as", "acme-mix"),
            "the composition 'acme-mix' of acme-mixes 2",
            "acme-mixes==2",
        ),
    ],
)
def test_a_recipe_that_names_it_is_told_what_to_install(
    ahl: Any,
    support: Registry,
    mixture: Registry,
    whole: Path,
    words: tuple[str, ...],
    says: str,
    install: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = "base: minilm\nobjective: classification\ndata: {train: rows.csv}\n"
    (tmp_path / "train.yml").write_text(recipe, encoding="utf-8")
    done = ahl(*words)
    assert done.code == 2
    assert done.err == (
        f"error: the recipe needs {says}, which is not installed\n"
        f"  hint: run: ahl plugins install '{install}'\n"
    )


def test_a_name_that_no_version_was_made_with_stays_unknown(
    ahl: Any, support: Registry, whole: Path
) -> None:
    done = ahl("merge", str(whole), str(whole), "--strategy", "acme-murge")
    assert done.code == 2
    assert done.err.startswith("error: unknown strategy 'acme-murge'\n")


def test_a_recipe_that_names_a_disabled_plugins_part_is_told_so(
    ahl: Any, support: Registry, whole: Path, environment: Any
) -> None:
    environment.install("acme-merges", {"mix": "acme_merges"}, {"acme_merges": ""}, version="3")
    assert ahl("plugins", "disable", "acme-merges").code == 0
    done = ahl("merge", str(whole), str(whole), "--strategy", "acme-merge")
    assert done.code == 2
    assert "the strategy 'acme-merge' of acme-merges 3, which is disabled" in done.err
    assert "ahl plugins enable" in done.err
