"""A version whose plugins are absent, disabled, broken or of another version."""

from dataclasses import replace
from typing import Any

import pytest

from adapterhub_lite import api
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.baking import bake
from adapterhub_lite.deployment.exporting import export_version
from adapterhub_lite.errors import MissingDependencyError, PluginError, UnknownNameError, UserError
from adapterhub_lite.inference.artifact import read_artifact_info, write_artifact_info
from adapterhub_lite.plugins import Barrier, PluginSource, installed_sources

WHAT = "shares@1 needs the method 'none' of acme-lab 2.1"
INSTALL = "ahl plugins install 'acme-lab==2.1'"


@pytest.fixture
def trained(lab: Any) -> Any:
    """Hold ``shares@1``, made with a stranger's loader, method and objective."""
    api.train(lab.recipe(), registry=lab.registry, catalogue=lab.catalogue)
    return lab


def catalogue_with(*strangers: PluginSource) -> Catalogue:
    return Catalogue([*(s for s in installed_sources() if s.first_party), *strangers])


def stranger(trained: Any) -> PluginSource:
    """Return the source of the plugin that the version was made with."""
    (source,) = (r.source for r in trained.catalogue.records if not r.source.first_party)
    return source


def load(trained: Any, catalogue: Catalogue) -> Any:
    return api.load("shares", registry=trained.registry, catalogue=catalogue)


def test_a_plugin_that_is_not_installed(trained: Any) -> None:
    with pytest.raises(MissingDependencyError) as caught:
        load(trained, catalogue_with())
    assert caught.value.message == f"{WHAT}, which is not installed"
    assert caught.value.install == INSTALL
    assert caught.value.exit_code == 2


def test_nothing_else_uses_it_either(trained: Any, tmp_path: Any) -> None:
    without = catalogue_with()
    with pytest.raises(MissingDependencyError, match=r"acme-lab 2\.1"):
        bake("shares", "whole", trained.registry, without)
    with pytest.raises(MissingDependencyError, match=r"acme-lab 2\.1"):
        export_version("shares", tmp_path / "out", "hf", trained.registry, without)


@pytest.mark.parametrize("status", ["disabled", "blocked"])
def test_a_plugin_that_may_not_load(trained: Any, status: Any) -> None:
    kept_out = replace(stranger(trained), barrier=Barrier(status, "the way out"))
    with pytest.raises(UserError) as caught:
        load(trained, catalogue_with(kept_out))
    assert caught.value.message == f"{WHAT}, which is {status}"
    assert caught.value.hint == "the way out"


def test_a_plugin_that_is_broken(trained: Any) -> None:
    def fail() -> None:
        raise RuntimeError("boom")

    with pytest.raises(PluginError) as caught:
        load(trained, catalogue_with(replace(stranger(trained), load=fail)))
    assert caught.value.message == f"{WHAT}, which is broken: RuntimeError: boom"
    assert INSTALL in caught.value.hint


def test_a_plugin_that_offers_it_no_more(trained: Any) -> None:
    newer = replace(stranger(trained), version="3.0", load=lambda: type("Empty", (), {}))
    with pytest.raises(UserError) as caught:
        load(trained, catalogue_with(newer))
    assert caught.value.message == f"{WHAT}; 3.0 is installed, which has none"
    assert caught.value.hint == f"run: {INSTALL}"


def test_another_version_is_used_with_a_warning(
    trained: Any, caplog: pytest.LogCaptureFixture
) -> None:
    newer = catalogue_with(replace(stranger(trained), version="2.2"))
    assert load(trained, newer).predict(["a"])[0].label == "fruit"
    assert set(caplog.messages) == {
        "shares@1 was made with acme-lab 2.1, and acme-lab 2.2 is installed; should it fail: "
        + INSTALL
    }


def test_the_same_version_is_used_without(trained: Any, caplog: pytest.LogCaptureFixture) -> None:
    load(trained, trained.catalogue)
    assert caplog.messages == []


def test_a_folder_that_tells_no_origins(trained: Any, tmp_path: Any) -> None:
    version = trained.registry.resolve("shares")
    folder = trained.registry.checkout(version, tmp_path / "out")
    write_artifact_info(folder, replace(read_artifact_info(folder), origins=()))
    with pytest.raises(UnknownNameError, match="unknown method 'none'"):
        api.load(str(folder), registry=trained.registry, catalogue=catalogue_with())


def test_a_part_that_was_replaced_takes_its_origin_along(trained: Any, tmp_path: Any) -> None:
    folder = trained.registry.path(trained.registry.resolve("shares"))
    write_artifact_info(tmp_path, replace(read_artifact_info(folder), method="full"))
    kept = read_artifact_info(tmp_path)
    assert [origin.kind for origin in kept.origins] == ["objective", "loader"]
    assert kept.origin("method") is None
