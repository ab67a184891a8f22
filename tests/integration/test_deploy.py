"""``ahl deploy`` as it is typed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ahl = Callable[..., Any]


@pytest.fixture
def version(ahl: Ahl, folder: Path, tiny_base: Path) -> str:
    done = ahl(
        *("train", "--train", "train.csv", "--base", tiny_base, "--method", "lora"),
        *("--objective", "classification", "--set", "objective.max_steps=1", "--name", "shop"),
    )
    assert done.code == 0, done.err
    return "shop"


def test_deploy_and_verify(ahl: Ahl, folder: Path, version: str) -> None:
    (folder / "ask.txt").write_text("the apple is sweet\na heavy drill\n")
    done = ahl("deploy", version, "--to", "peft", "--inputs", "ask.txt")
    assert done.code == 0, done.err
    assert "100.0% of decisions equal, on 2 inputs" in done.out
    assert str(folder / "shop-peft") in done.out
    again = ahl("deploy", "--verify", "shop-peft", "--json")
    assert again.code == 0, again.err
    assert (again.json["version"], again.json["target"]) == ("shop@1", "peft")
    assert again.json["parity"]["inputs"] == 8
    assert ahl("deploy", "--verify", "shop-peft", "--inputs", "ask.txt").code == 0
    (folder / "shop-peft" / "README.md").write_text("mine")
    changed = ahl("deploy", "--verify", "shop-peft")
    assert changed.code == 1
    assert "README.md" in changed.err

    occupied = ahl("deploy", version, "--to", "hf", "--out", "shop-peft")
    assert occupied.code == 2
    assert "not empty" in occupied.err
    compared = ahl("export", version, "out", "--format", "hf", "--json")
    assert compared.code == 0, compared.err
    assert compared.json["parity"]["agreement"] == 1
    assert not (folder / "out" / "deployment.json").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "give a version to deploy, or --verify DIR"),
        (("shop",), "say for what: --to"),
        (("shop", "--to", "onx"), "did you mean 'onnx'?"),
        (("shop", "--verify", "."), "--verify takes a folder alone"),
        (("--verify", "."), "has no deployment.json"),
        (("shop", "--to", "peft", "--inputs", "no.txt"), "nothing is called 'shop'"),
        (("shop", "--to", "onnx", "--set", "quantise"), "not of the form key=value"),
    ],
)
def test_what_is_wrong_is_said(ahl: Ahl, folder: Path, words: tuple[str, ...], says: str) -> None:
    done = ahl("deploy", *words)
    assert done.code == 2
    assert says in done.err
    assert [file.name for file in folder.iterdir() if file.is_dir()] == []
