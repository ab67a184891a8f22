"""A stranger's merge strategy: installed, used from training to an answer, removed again."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import adapterhub_lite
from adapterhub_lite import api
from adapterhub_lite.plugins import load_catalogue
from adapterhub_lite.testing import TINY_ROWS, check_plugin
from tests.integration.conftest import write_csv
from tests.integration.third_party import EXAMPLES, build, installed

Ahl = Callable[..., Any]
DISTRIBUTION = "adapterhub-lite-star"


@pytest.fixture(scope="module")
def star(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's distribution in a folder."""
    return build("third_party_merge", tmp_path_factory.mktemp("third-party"))


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """A registry with two classifiers of one base, trained without the plugin."""
    place = tmp_path_factory.mktemp("star-home")
    rows = write_csv(place / "rows.csv", list(TINY_ROWS))
    for seed, name in enumerate(("one", "two")):
        recipe = {
            "base": str(tiny_base),
            "method": {"name": "lora", "r": 4},
            "objective": {"name": "classification", "max_steps": 3, "learning_rate": 0.01},
            "data": {"train": str(rows)},
            "seed": seed,
            "publish": name,
        }
        adapterhub_lite.train(recipe, registry=api.open_registry(place / "home"))
    return place / "home"


def test_it_is_found_listed_and_explained(star: Path) -> None:
    """In a process of its own, as a person has it, with the path that pip made."""
    with installed(star):
        shown = ahl_alone("strategies", "show", "star")
        listed = json.loads(ahl_alone("plugins", "list", "--json"))
    assert "2502.10339" in shown
    assert "eta" in shown
    (row,) = [row for row in listed if row["distribution"] == DISTRIBUTION]
    assert (row["name"], row["kind"], row["status"]) == ("star", "strategy", "ok")


def ahl_alone(*words: str) -> str:
    command = [sys.executable, "-m", "adapterhub_lite", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_merged_published_asked_and_removed(ahl: Ahl, star: Path, versions: Path) -> None:
    merge = ("merge", "one", "two", "--strategy", "star", "--set", "heads=keep one")
    with installed(star):
        done = ahl(*merge, "--set", "eta=60", "--name", "merged", "--home", versions, "--json")
        assert done.code == 0, done.err
        before = answer(ahl, versions)
    manifest = api.open_registry(versions).resolve("merged").manifest
    (strategy,) = manifest.strategies
    assert (strategy.name, strategy.plugin, strategy.plugin_version) == (
        "star",
        DISTRIBUTION,
        "0.1.0",
    )
    assert manifest.recipe["strategy"]["eta"] == 60

    listed = ahl("list", "--home", versions)
    assert listed.code == 0, listed.err
    assert "merged" in listed.out
    shown = ahl("show", "merged", "--home", versions)
    assert shown.code == 0, shown.err
    assert DISTRIBUTION in shown.out
    assert answer(ahl, versions) == before, "a merged model needs no strategy to answer"
    again = ahl(*merge, "--name", "again", "--home", versions)
    assert again.code == 2
    assert "the strategy 'star' of adapterhub-lite-star" in again.err
    assert "which is not installed" in again.err


def answer(ahl: Ahl, home: Path) -> Any:
    asked = ahl("predict", "merged", "the apple is sweet", "--home", home, "--json")
    assert asked.code == 0, asked.err
    return asked.json


def test_it_passes_the_kit(star: Path) -> None:
    with installed(star):
        results = list(check_plugin(load_catalogue(), DISTRIBUTION))
    assert not [(result.check, result.message) for result in results if not result.ok]
    expected = {result.check for result in results if result.status == "expected"}
    assert expected == {"check_one_model_is_returned", "check_identical_models_are_returned"}


def test_its_own_tests_pass(star: Path, tmp_path: Path) -> None:
    """As its authors run them: the kit's classes through the pytest plugin, and the formula."""
    with installed(star):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        tests = EXAMPLES / "third_party_merge" / "tests"
        done = subprocess.run(
            [*command, "--rootdir", str(tmp_path), str(tests)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
    assert done.returncode == 0, done.stdout
    assert "2 xfailed" in done.stdout
