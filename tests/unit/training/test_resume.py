"""An interrupted run goes on where it stopped, and only with its own recipe and rows."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite import api
from adapterhub_lite.errors import RecipeError
from adapterhub_lite.training.plan import make_plan
from adapterhub_lite.training.resume import IDENTITY_FILE, resumed_folder


@pytest.fixture
def interrupted(lab: Any) -> Path:
    """Start a run of two seeds and interrupt it after the first; return its folder."""

    def stop(event: Mapping[str, Any]) -> None:
        if event["event"] == "seed-finished":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.train(
            lab.recipe(seeds=2), registry=lab.registry, catalogue=lab.catalogue, listeners=[stop]
        )
    (folder,) = (lab.registry.home / "runs").iterdir()
    assert (folder / IDENTITY_FILE).is_file()
    return Path(folder)


def resume(lab: Any, folder: Path | str, **changes: Any) -> Any:
    recipe = lab.recipe(**{"seeds": 2, **changes})
    return api.train(recipe, registry=lab.registry, catalogue=lab.catalogue, resume=folder)


def test_the_same_recipe_goes_on_in_the_same_folder(lab: Any, interrupted: Path) -> None:
    before = len(lab.events())
    result = resume(lab, interrupted)
    assert result.folder == interrupted
    assert str(result.version) == "shares@1"
    assert len(list((lab.registry.home / "runs").iterdir())) == 1
    names = [event["event"] for event in lab.events()]
    assert names[before - 1 : before + 1] == ["failed", "started"], "the log goes on below"
    assert names[-1] == "finished"


def test_an_objective_is_told_that_it_resumes(
    lab: Any, interrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    majority = type(lab.catalogue.implementation(lab.catalogue.objective("majority")))
    plain = majority.fit

    def fit(self: Any, attached: Any, data: Any, params: Any, run: Any) -> Any:
        seen.append((run.seed, run.resume, run.folder))
        return plain(self, attached, data, params, run)

    monkeypatch.setattr(majority, "fit", fit)
    resume(lab, interrupted)
    assert seen == [(seed, True, interrupted / f"seed-{seed}") for seed in (0, 1)]
    seen.clear()
    resumed = api.train(lab.recipe(), registry=lab.registry, catalogue=lab.catalogue)
    assert seen == [(0, False, resumed.folder / "seed-0")]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"seed": 3}, "recipe.seed"),
        ({"publish": "other"}, "recipe.publish"),
        ({"objective": {"name": "majority", "smoothing": 2.0}}, "recipe.objective.smoothing"),
        ({"method": "none-q"}, "recipe.method.name"),
        ({"device": "cpu"}, "recipe.device"),
    ],
)
def test_another_recipe_is_refused_and_the_field_named(
    lab: Any, interrupted: Path, changes: dict[str, Any], field: str
) -> None:
    before = (interrupted / "events.jsonl").read_bytes()
    loaded = len(lab.loaded)
    with pytest.raises(RecipeError) as caught:
        resume(lab, interrupted, **changes)
    assert caught.value.message == (
        f"the run in {interrupted} is of another recipe: {field} differs"
    )
    assert caught.value.field == "resume"
    assert "start a new run" in caught.value.hint
    assert (interrupted / "events.jsonl").read_bytes() == before, "the log is as it was"
    assert len(lab.loaded) == loaded


def test_other_rows_in_the_same_file_are_refused(lab: Any, interrupted: Path) -> None:
    with lab.rows.open("a") as stream:
        stream.write("one more apple,fruit\n")
    with pytest.raises(RecipeError, match=r"rows\.train differs"):
        resume(lab, interrupted)


def test_several_differences_are_all_named(lab: Any, interrupted: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe\.seed, recipe\.license differs"):
        resume(lab, interrupted, seed=3, license="MIT")


def test_a_folder_that_is_no_run_is_refused(lab: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / IDENTITY_FILE).write_text("{")
    for name in ("empty", "broken", "nowhere"):
        with pytest.raises(RecipeError, match="is not the folder of a run") as caught:
            resume(lab, tmp_path / name)
        assert "runs/" in caught.value.hint
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("content", ["[]", "3", "null", '{"recipe": null}', '{"recipe": []}'])
def test_a_damaged_identity_is_refused_and_never_trusted(
    lab: Any, interrupted: Path, content: str
) -> None:
    (interrupted / IDENTITY_FILE).write_text(content)
    plan = make_plan(lab.recipe(seeds=2), lab.catalogue, lab.registry)
    with pytest.raises(RecipeError, match="another recipe"):
        resumed_folder(interrupted, plan)


def test_the_identity_is_json_a_person_can_read(lab: Any, interrupted: Path) -> None:
    stored = json.loads((interrupted / IDENTITY_FILE).read_text())
    plan = make_plan(lab.recipe(seeds=2), lab.catalogue, lab.registry)
    assert stored["recipe"] == plan.resolved_recipe()
    assert stored["rows"] == dict(plan.data.fingerprints)
