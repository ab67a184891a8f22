"""A stranger's loader, method and objective go the same way as ours, and fail as safely."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapterhub_lite import api
from adapterhub_lite.errors import (
    AdapterHubError,
    NonFiniteError,
    SelfTestError,
    TrainingError,
)
from adapterhub_lite.training.publish import tensor_count
from adapterhub_lite.training.results import TrainResult


def train(lab: Any, **changes: Any) -> TrainResult:
    return api.train(lab.recipe(**changes), registry=lab.registry, catalogue=lab.catalogue)


def failed(lab: Any, error: type[AdapterHubError], **changes: Any) -> AdapterHubError:
    """Train, and check that nothing is left of the failure but its log."""
    with pytest.raises(error) as caught:
        train(lab, **changes)
    assert lab.registry.names() == []
    assert lab.events()[-1]["event"] == "failed"
    assert lab.events()[-1]["error"] == f"{type(caught.value).__name__}: {caught.value}"
    (folder,) = (lab.registry.home / "runs").iterdir()
    assert not (folder / "artifact").exists()
    return caught.value


def test_a_strangers_trio_is_trained_published_reloaded_and_asked(lab: Any) -> None:
    result = train(lab)
    assert str(result.version) == "shares@1"
    base, tested = lab.loaded
    assert base == str(lab.base)
    assert Path(tested).name == "artifact", "the self-test loads what was saved"
    predictor = api.load("shares", registry=lab.registry, catalogue=lab.catalogue)
    assert predictor.classes == ("fruit", "music", "tool")
    first, second = predictor.predict(["anything", "at all"])
    assert first.label == second.label == "fruit"
    assert first.probabilities == pytest.approx({"fruit": 7 / 18, "tool": 6 / 18, "music": 5 / 18})
    assert result.best.test is not None
    assert result.best.test.value("accuracy") == pytest.approx(1 / 3)
    assert result.best.baseline is None


def test_the_manifest_names_the_strangers(lab: Any) -> None:
    version = train(lab, alias="prod").version
    assert version is not None
    manifest = lab.registry.resolve("shares@prod").manifest
    for part, name in (("loader", "plain"), ("method", "none"), ("objective", "majority")):
        component = getattr(manifest, part)
        assert (component.name, component.plugin, component.plugin_version) == (
            *(name, "acme-lab", "2.1"),
        )
    assert manifest.kind == "model", "the method keeps all weights: no base is needed"
    assert manifest.hyperparameters["objective"] == {"smoothing": 1.0}
    assert manifest.hyperparameters["chosen"] == {"kept": "majority", "seen": 18}
    assert manifest.signature is not None
    assert manifest.signature.labels == ("fruit", "music", "tool")
    roles = {entry.path: entry.role for entry in manifest.files}
    assert roles["model.safetensors"] == "weights"
    assert roles["shares.json"] == "config"
    assert {"README.md", "recipe.yml", "report.html", "adapterhub.json"} <= set(roles)
    folder = lab.registry.path(version)
    assert yaml.safe_load((folder / "recipe.yml").read_text()) == manifest.recipe
    assert json.loads((folder / "adapterhub.json").read_text()) == {
        "task": "text-classification",
        "method": "none",
        "objective": "majority",
        "loader": "plain",
        "loader_params": {},
        "head": {"kind": "none", "labels": ["fruit", "music", "tool"], "problem": ""},
        "base": None,
        "composition": None,
        "origins": [
            {"kind": kind, "name": name, "distribution": "acme-lab", "version": "2.1"}
            for kind, name in (("method", "none"), ("objective", "majority"), ("loader", "plain"))
        ],
    }


def test_a_checked_out_folder_answers_as_the_version(lab: Any, tmp_path: Path) -> None:
    version = train(lab).version
    assert version is not None
    folder = lab.registry.checkout(version, tmp_path / "out")
    ours, theirs = (
        api.load(ref, registry=lab.registry, catalogue=lab.catalogue).predict_proba(["a", "b"])
        for ref in ("shares@1", str(folder))
    )
    assert ours.tolist() == theirs.tolist()


def test_a_version_is_a_base_and_then_a_parent(lab: Any) -> None:
    parent = train(lab).version
    assert parent is not None
    result = train(lab, base="shares", publish="child")
    assert (result.plan.base.ref, result.plan.base.source) == ("shares@1", "registry")
    child = lab.registry.resolve("child").manifest
    assert [(p.digest, p.role) for p in child.parents] == [(parent.digest, "base")]
    assert child.base is not None
    assert child.base.revision == parent.digest
    assert lab.registry.resolve("shares").manifest.parents == ()


def test_without_a_name_nothing_is_published(lab: Any) -> None:
    result = train(lab, publish=None)
    assert result.version is None
    assert lab.registry.names() == []
    assert result.report.is_file()
    assert [event["event"] for event in lab.events()][-2:] == ["self-test", "finished"]
    assert json.loads(json.dumps(result.to_json()))["version"] is None


def test_without_test_rows_nothing_is_scored(lab: Any) -> None:
    result = train(lab, data={"train": str(lab.rows)})
    assert result.best.test is None
    assert result.over_seeds("accuracy") is None
    assert result.to_json()["over_seeds"] == {}
    assert result.version is not None
    assert result.version.manifest.metrics == ()
    assert "no test rows" in result.report.read_text()
    assert "not scored" in lab.registry.read_file(result.version, "README.md").decode()


def test_events_tell_the_run_in_order(lab: Any) -> None:
    heard: list[Mapping[str, Any]] = []
    api.train(
        lab.recipe(), registry=lab.registry, catalogue=lab.catalogue, listeners=[heard.append]
    )
    names = [event["event"] for event in lab.events()]
    order = ("started", "seed-started", "seed-finished", "self-test", "published", "finished")
    assert [name for name in names if name != "step"] == list(order)
    assert [event["event"] for event in heard] == names
    stages = [event["stage"] for event in lab.events() if event["event"] == "step"]
    assert stages[0] == "count"
    assert "test" in stages
    published = next(event for event in lab.events() if event["event"] == "published")
    assert published["version"] == "shares@1"


def test_the_seed_that_validates_best_is_published(lab: Any) -> None:
    result = train(lab, objective="by-seed", seeds=3)
    assert [seed.seed for seed in result.seeds] == [0, 1, 2]
    assert result.best.seed == 1
    assert result.version is not None
    assert result.version.manifest.seed == 1
    mean, interval = result.over_seeds("accuracy") or (0.0, None)
    assert mean == pytest.approx(1 / 3)
    assert interval == pytest.approx((1 / 3, 1 / 3))


def test_seeds_that_validate_alike_leave_the_first(lab: Any) -> None:
    assert train(lab, seeds=2).best.seed == 0


def test_a_seed_whose_score_is_not_a_number_is_never_the_best(lab: Any) -> None:
    assert train(lab, objective="first-seed-nan", seeds=2).best.seed == 1


def test_a_follower_that_fails_stops_no_run(lab: Any, caplog: pytest.LogCaptureFixture) -> None:
    def fail(event: Mapping[str, Any]) -> None:
        raise ConnectionError("the tracker is down")

    catalogue = lab.catalogue_with(adapterhub_run_event=fail)
    with caplog.at_level(logging.WARNING):
        result = api.train(lab.recipe(), registry=lab.registry, catalogue=catalogue)
    assert str(result.version) == "shares@1"
    assert lab.events()[-1]["event"] == "finished"
    assert "the tracker is down" in caplog.text


def test_a_run_that_fails_says_so_last(lab: Any) -> None:
    error = failed(lab, TrainingError, objective="fails")
    assert error.message == "it did not work out"
    assert lab.events()[0]["event"] == "started"


def test_a_listener_may_stop_a_run(lab: Any) -> None:
    def stop(event: Mapping[str, Any]) -> None:
        if event["event"] == "seed-finished":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.train(lab.recipe(), registry=lab.registry, catalogue=lab.catalogue, listeners=[stop])
    last = lab.events()[-1]
    assert (last["event"], last["error"]) == ("failed", "KeyboardInterrupt: ")
    assert lab.registry.names() == []


def test_a_scorer_that_reloads_otherwise_is_not_published(lab: Any) -> None:
    error = failed(lab, SelfTestError, objective="forgets-shares")
    assert "scores differ by up to 5.1e-01" in error.message


def test_a_scorer_that_reloads_other_labels_is_not_published(lab: Any) -> None:
    error = failed(lab, SelfTestError, objective="forgets-order")
    assert "other labels" in error.message


def test_a_scorer_that_reloads_another_threshold_is_not_published(lab: Any) -> None:
    failed(lab, SelfTestError, objective="forgets-threshold")


@pytest.mark.parametrize("test_rows", [True, False])
def test_answers_that_are_no_numbers_are_not_published(lab: Any, test_rows: bool) -> None:
    data = {"train": str(lab.rows), **({"test": str(lab.test)} if test_rows else {})}
    error = failed(lab, SelfTestError, objective="nan", data=data)
    assert "not finite" in error.message


def test_weights_that_are_no_numbers_are_not_published(lab: Any) -> None:
    error = failed(lab, NonFiniteError, method="poisoned")
    assert "is not finite" in error.message
    assert "embeddings" in error.message


def test_tensors_are_counted_by_dtype(lab: Any) -> None:
    counted = tensor_count(lab.base)
    assert counted.nonfinite == 0
    assert counted.dtypes == {"F32": counted.count}


def test_shards_of_any_name_are_looked_into(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.tensor([float("inf")])}, tmp_path / "part-1.safetensors")
    index = {"weight_map": {"a": "part-1.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(NonFiniteError):
        tensor_count(tmp_path)
