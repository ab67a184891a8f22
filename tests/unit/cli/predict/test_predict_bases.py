"""``ahl predict`` with adapters: on their base, on another if told to, and without a registry."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite import api
from adapterhub_lite.testing import write_tiny_model

Ask = Callable[..., Any]


@pytest.fixture
def adapter(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Check an adapter out into a folder; return its path."""
    version = trained.registry.resolve(trained.version("labels", "lora"))
    monkeypatch.chdir(tmp_path)
    trained.registry.checkout(version, tmp_path / "adapter")
    return "./adapter"


@pytest.fixture
def nowhere(home: Path) -> Path:
    """Return where the registry would be, were there one."""
    shutil.rmtree(home)
    return home


def test_a_folder_whose_base_is_a_folder_opens_no_registry(
    ahl: Ask, adapter: str, nowhere: Path
) -> None:
    done = ahl("predict", adapter, "the apple", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)[0]["label"] in ("fruit", "music", "tool")
    assert not nowhere.exists()


def test_a_whole_model_opens_no_registry(
    ahl: Ask, trained: Any, tmp_path: Path, nowhere: Path
) -> None:
    version = trained.registry.resolve(trained.version("labels"))
    trained.registry.checkout(version, tmp_path / "model")
    done = ahl("predict", str(tmp_path / "model"), "the apple")
    assert done.code == 0, done.err
    assert not nowhere.exists()


def test_a_base_in_the_registry_is_found_there(
    ahl: Ask, trained: Any, adapter: str, nowhere: Path
) -> None:
    words = ("predict", adapter, "the apple", "--base", trained.version("labels"), "--any-base")
    done = ahl(*words, "--home", str(trained.home))
    assert done.code == 0, done.err
    done = ahl(*words)
    assert done.code == 2
    assert f"no base model {trained.version('labels')!r}" in done.err


def test_a_folder_that_is_not_there_is_named(ahl: Ask, nowhere: Path) -> None:
    done = ahl("predict", "./nothing", "the apple")
    assert done.code == 2
    assert "there is no folder ./nothing" in done.err
    assert not nowhere.exists()


def test_another_base_is_refused_and_taken_by_insistence(
    ahl: Ask, adapter: str, tmp_path: Path
) -> None:
    other = write_tiny_model(tmp_path / "other", seed=1)
    done = ahl("predict", adapter, "the apple", "--base", str(other))
    assert done.code == 2
    assert f"trained on another base than {str(other)!r}: its weights differ" in done.err
    assert "--any-base" in done.err
    done = ahl("predict", adapter, "the apple", "--base", str(other), "--any-base", "--json")
    assert done.code == 0, done.err
    own = ahl("predict", adapter, "the apple", "--json")
    assert json.loads(done.out)[0]["score"] != json.loads(own.out)[0]["score"]


def test_the_base_may_have_moved(ahl: Ask, trained: Any, adapter: str, tmp_path: Path) -> None:
    moved = shutil.copytree(trained.base("bert"), tmp_path / "moved")
    found = [
        ahl("predict", adapter, "the apple", "--json", *words).out
        for words in ((), ("--base", str(moved)))
    ]
    assert found[0] == found[1]


def test_a_version_answers_as_its_folder_does(ahl: Ask, trained: Any, adapter: str) -> None:
    ref, home = trained.version("labels", "lora"), str(trained.home)
    version = ahl("predict", ref, "the apple", "--json", "--home", home)
    assert version.out == ahl("predict", adapter, "the apple", "--json").out
    predictor = api.load(ref, registry=trained.registry)
    assert predictor.classes == ("fruit", "music", "tool")
