"""``ahl plan`` and ``ahl train --dry-run`` say the same, write nothing, and tell the truth."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ahl = Callable[..., Any]


@pytest.fixture
def recipe(folder: Path, tiny_base: Path) -> Path:
    """Write a recipe of partial training."""
    file = folder / "train.yml"
    file.write_text(
        f"base: {tiny_base}\npreset: setfit\nmethod: {{layers: 2}}\nobjective: {{folds: 0}}\n"
        "data: {train: train.csv, test: test.csv}\npublish: words\n"
    )
    return file


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize(
    "more", [[], ["--seed", "3"], ["--set", "method.layers=1"], ["--device", "cpu"]]
)
def test_a_plan_is_a_dry_run(
    ahl: Ahl, recipe: Path, home: Path, form: list[str], more: list[str]
) -> None:
    planned = ahl("plan", recipe, *more, *form)
    dry = ahl("train", recipe, "--dry-run", *more, *form)
    assert (planned.code, planned.err) == (0, "")
    assert planned == dry
    assert not (home / "runs").exists()


def test_a_plan_takes_flags_without_a_recipe(ahl: Ahl, folder: Path, tiny_base: Path) -> None:
    words = ("--preset", "setfit", "--train", "train.csv", "--base", tiny_base, "--json")
    planned = ahl("plan", *words)
    assert planned.code == 0, planned.err
    assert planned == ahl("train", *words, "--dry-run")
    assert planned.json["recipe"]["device"] == "auto"


def test_what_the_plan_counts_is_what_then_learns(ahl: Ahl, recipe: Path, tiny_base: Path) -> None:
    from safetensors.torch import load_file

    from adapterhub_lite import api

    plan = ahl("plan", recipe, "--json").json
    assert ahl("train", recipe).code == 0
    registry = api.open_registry()
    folder = registry.path(registry.resolve("words"))
    learned = load_file(folder / "model-00002-of-00002.safetensors")
    assert sum(tensor.numel() for tensor in learned.values()) == plan["trainable"]
    assert {name.split(".")[2] for name in learned} == {"1", "2"}


def test_a_plan_refuses_as_training_does(ahl: Ahl, recipe: Path) -> None:
    bad = ("--set", "method.layers=9")
    planned = ahl("plan", recipe, *bad)
    assert planned.code == 2
    assert "9 layers" in planned.err
    assert planned.err == ahl("train", recipe, *bad).err


def test_biases_alone_are_trained_and_published(ahl: Ahl, folder: Path, tiny_base: Path) -> None:
    from safetensors.torch import load_file

    from adapterhub_lite import api

    words = (
        *("--preset", "setfit", "--train", "train.csv", "--base", tiny_base, "--name", "biases"),
        *("--set", "method={name: full, layers: all, parameters: ['encoder.*.bias']}"),
        *("--set", "objective.folds=0", "--set", "objective.steps=5"),
    )
    done = ahl("train", *words)
    assert done.code == 0, done.err
    registry = api.open_registry()
    path = registry.path(registry.resolve("biases"))
    before = load_file(tiny_base / "model.safetensors")
    after = {n: t for file in path.glob("model-*") for n, t in load_file(file).items()}
    assert after.keys() == before.keys()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed
    assert all(name.startswith("encoder.") and name.endswith(".bias") for name in changed)


def test_a_pattern_that_matches_nothing_is_refused_before_training(
    ahl: Ahl, folder: Path, tiny_base: Path, home: Path
) -> None:
    done = ahl(
        *("train", "--preset", "setfit", "--train", "train.csv", "--base", tiny_base),
        *("--set", "method={name: full, layers: all, parameters: ['encoder.*.bais']}"),
    )
    assert done.code == 2
    assert "no weight is called 'encoder.*.bais'" in done.err
    assert not (home / "runs").exists()


def test_a_linear_probe_leaves_the_base_as_it_is(ahl: Ahl, folder: Path, tiny_base: Path) -> None:
    from safetensors.torch import load_file

    from adapterhub_lite import api

    words = ("--preset", "linear-probe", "--objective", "contrastive", "--train", "train.csv")
    plan = ahl("plan", *words, "--base", tiny_base, "--json")
    assert plan.code == 0, plan.err
    assert plan.json["trainable"] == 0, "the logistic head is no part of the transformer"
    done = ahl("train", *words, "--base", tiny_base, "--name", "probe")
    assert done.code == 0, done.err
    registry = api.open_registry()
    after = load_file(registry.path(registry.resolve("probe")) / "model.safetensors")
    before = load_file(tiny_base / "model.safetensors")
    assert all(after[name].equal(before[name]) for name in before)
