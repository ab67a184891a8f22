"""A stranger's method: installed, trained with, baked, asked, removed again, and missed by name."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite import api
from adapterhub_lite.testing import TINY_ROWS
from tests.integration.conftest import write_csv
from tests.integration.third_party import EXAMPLES, build, installed

Ahl = Callable[..., Any]
DISTRIBUTION = "adapterhub-lite-bitfit"


@pytest.fixture(scope="module")
def bitfit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's distribution in a folder."""
    return build("third_party_plugin", tmp_path_factory.mktemp("third-party"))


def test_trained_baked_asked_and_removed(
    ahl: Ahl, bitfit: Path, tiny_base: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    rows = write_csv(tmp_path / "rows.csv", list(TINY_ROWS))
    recipe = tmp_path / "train.yml"
    recipe.write_text(
        f"base: {tiny_base}\n"
        "method: {name: bitfit, modules: [query, intermediate.dense]}\n"
        "objective: {name: classification, max_steps: 3, learning_rate: 0.01}\n"
        f"data: {{train: {rows}}}\npublish: biased\n",
        encoding="utf-8",
    )
    asking = ("predict", "biased", "the apple is sweet", "--home", home, "--json")
    with installed(bitfit):
        trained = ahl("train", recipe, "--home", home, "--json")
        assert trained.code == 0, trained.err
        asked = ahl(*asking)
        assert asked.code == 0, asked.err
        baked = ahl("bake", "biased", "--into", "whole", "--home", home)
        assert baked.code == 0, baked.err

    manifest = api.open_registry(home).resolve("biased").manifest
    assert (manifest.method.plugin, manifest.method.plugin_version) == (DISTRIBUTION, "0.1.0")
    assert ahl("list", "--home", home).code == 0
    shown = ahl("show", "biased", "--home", home)
    assert shown.code == 0, shown.err
    assert DISTRIBUTION in shown.out
    refused = ahl(*asking)
    assert refused.code == 2
    assert f"ahl plugins install '{DISTRIBUTION}==0.1.0'" in refused.err
    whole = ahl("predict", "whole", *asking[2:])
    assert whole.code == 0, "a baked model needs no method to answer"
    probabilities = [answer["probabilities"] for answer in (asked.json[0], whole.json[0])]
    assert probabilities[0] == pytest.approx(probabilities[1], abs=1e-6)


def test_its_own_tests_pass(bitfit: Path, tmp_path: Path) -> None:
    """As its authors run them, through the kit."""
    tests = EXAMPLES / "third_party_plugin" / "tests"
    words = ["-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    with installed(bitfit):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words, str(tests)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout
    assert "1 xfailed" in done.stdout, "decoders are tried on a Llama"
