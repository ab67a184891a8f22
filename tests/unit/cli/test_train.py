"""What wins over what: preset, recipe, flags, ``--set``."""

from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.errors import UserError

RECIPE = "preset: setfit\nseed: 1\nmethod: {layers: 2}\ndata: {train: a.csv, shots: 4}\n"


@pytest.fixture
def planned(ahl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a training command up to its plan; return the values that would be planned."""
    seen: list[dict[str, Any]] = []

    def stop(values: dict[str, Any], *_: object) -> None:
        seen.append(values)
        raise UserError("stopped here")

    monkeypatch.setattr("adapterhub_lite.training.plan.make_plan", stop)
    recipe = tmp_path / "train.yml"
    recipe.write_text(RECIPE)

    def run(*words: str) -> dict[str, Any]:
        done = ahl(*[str(recipe) if word == "RECIPE" else word for word in words])
        assert done.err == "error: stopped here\n"
        return seen[-1]

    return run


def test_a_recipe_alone(planned: Any) -> None:
    assert planned("train", "RECIPE") == {
        "preset": "setfit",
        "seed": 1,
        "method": {"layers": 2},
        "data": {"train": "a.csv", "shots": 4},
    }


def test_flags_lie_over_the_recipe_and_keep_what_they_do_not_name(planned: Any) -> None:
    values = planned("train", "RECIPE", "--seed", "2", "--shots", "8", "--method", "full")
    assert values["seed"] == 2
    assert values["data"] == {"train": "a.csv", "shots": 8}
    assert values["method"] == {"name": "full", "layers": 2}


def test_set_lies_over_flags(planned: Any) -> None:
    values = planned("train", "RECIPE", "--seed", "2", "--set", "seed=3", "--set", "publish=x")
    assert (values["seed"], values["publish"]) == (3, "x")


def test_flags_alone_are_enough(planned: Any) -> None:
    values = planned("train", "--preset", "setfit", "--train", "a.csv", "--name", "tickets")
    assert values == {"preset": "setfit", "data": {"train": "a.csv"}, "publish": "tickets"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {}),
        (["--layers", "3"], {"method": {"layers": 3}}),
        (["--layers", "all"], {"method": {"layers": "all"}}),
        (
            ["--engine", "setfit"],
            {"method": {"layers": "all"}, "objective": {"engine": "setfit"}},
        ),
        (
            ["--engine", "setfit", "--layers", "2"],
            {"method": {"layers": 2}, "objective": {"engine": "setfit"}},
        ),
        (["--engine", "fast", "--steps", "9"], {"objective": {"engine": "fast", "steps": 9}}),
    ],
)
def test_fewshot_is_a_recipe(planned: Any, words: list[str], expected: dict[str, Any]) -> None:
    values = planned("fewshot", "a.csv", *words)
    assert values == {"preset": "setfit", "data": {"train": "a.csv"}, **expected}
