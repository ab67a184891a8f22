"""An interrupted training, resumed, is the uninterrupted one, bit by bit."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from adapterhub_lite.errors import RecipeError
from adapterhub_lite.finetuning.learner import Learner
from adapterhub_lite.finetuning.loop import Fitted, fit
from adapterhub_lite.finetuning.params import TrainerParams
from adapterhub_lite.protocols import Attached
from tests.unit.finetuning.conftest import (
    FakeRun,
    InterruptedByTestError,
    Points,
    RunOf,
    Sentences,
    assert_same,
    bert,
    network,
    training,
)

MODELS: dict[str, tuple[Callable[[], Attached], Callable[[], Learner]]] = {
    "network": (lambda: network(dropout=0.3), Points),
    "bfloat16": (lambda: network(dropout=0.3, dtype=torch.bfloat16), Points),
    "full": (lambda: bert(lora=False), Sentences),
    "lora": (lambda: bert(lora=True), Sentences),
}


def _fit(kind: str, params: TrainerParams, run: FakeRun) -> tuple[Attached, Fitted]:
    make, learner = MODELS[kind]
    model = make()
    return model, fit(model, learner(), training(22, 6), params, run)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("lora", {"gradient_accumulation": 2}),
        ("full", {"group_by_length": True}),
        ("full", {"precision": "bf16", "schedule": "cosine", "warmup": 0.3}),
        ("network", {"optimizer": "adafactor"}),
        ("network", {"optimizer": "sgd", "log_every": 4}),
        ("bfloat16", {"optimizer": "adafactor"}),
        ("full", {"optimizer": "adamw-8bit"}),
    ],
)
def test_resumed_is_uninterrupted(kind: str, settings: dict[str, Any], run_of: RunOf) -> None:
    params = TrainerParams(epochs=4, batch_size=3, checkpoint_every=3, evaluate_every=2, **settings)
    whole = run_of("whole")
    expected, fitted = _fit(kind, params, whole)
    broken = run_of("broken", dies_at=8)
    with pytest.raises(InterruptedByTestError):
        _fit(kind, params, broken)
    resumed = run_of("broken", resume=True)
    model, again = _fit(kind, params, resumed)
    assert ("resumed", {"step": 6}) in resumed.events
    assert_same(model, expected)
    assert resumed.steps == whole.steps[-len(resumed.steps) :]
    assert resumed.evaluations() == whole.evaluations()[3:]
    timings = {"seconds", "tokens_per_second"}
    assert _without(fitted, timings) == _without(again, timings)


def _without(fitted: Fitted, names: set[str]) -> dict[str, Any]:
    return {name: getattr(fitted, name) for name in fitted.__slots__ if name not in names}


def test_early_stopping_goes_on_where_it_was(run_of: RunOf) -> None:
    params = TrainerParams(
        epochs=9, batch_size=8, evaluate_every=1, early_stopping=4, checkpoint_every=1
    )
    scores = [0.1, 0.5, 0.4, 0.3, 0.2, 0.1]

    def trained(run: FakeRun, after: int = 0) -> tuple[Attached, Fitted]:
        model = network(dropout=0.3)
        return model, fit(model, Points(scores=scores[after:]), training(22, 6), params, run)

    expected, whole = trained(run_of("whole"))
    with pytest.raises(InterruptedByTestError):
        trained(run_of("broken", dies_at=5))
    model, resumed = trained(run_of("broken", resume=True), after=4)
    assert whole.best_step == 2
    assert resumed.reason == whole.reason
    assert_same(model, expected)


def test_finished_training_is_not_trained_again(run_of: RunOf) -> None:
    params = TrainerParams(epochs=2, batch_size=5, checkpoint_every=2)
    expected, _ = _fit("network", params, run_of())
    again = run_of(resume=True)
    model, _ = _fit("network", params, again)
    assert again.steps == []
    assert_same(model, expected)


def test_keeps_the_last_two_and_no_pickle(run_of: RunOf) -> None:
    run = run_of()
    _fit("lora", TrainerParams(epochs=3, batch_size=5, checkpoint_every=4), run)
    folder = run.folder / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000012", "step-00000015"]
    files = {path.name for path in folder.glob("*/*")}
    assert files == {"state.json", "tensors.safetensors"}
    for path in folder.glob("*/state.json"):
        json.loads(path.read_text())
    tensors = next(folder.glob("*/tensors.safetensors"))
    assert int.from_bytes(tensors.read_bytes()[:8], "little") < tensors.stat().st_size


def test_fresh_run_removes_old_checkpoints(run_of: RunOf) -> None:
    run = run_of()
    params = TrainerParams(epochs=1, checkpoint_every=1)
    _fit("network", params, run)
    _fit("network", params.model_copy(update={"checkpoint_every": 0}), run)
    assert not (run.folder / "checkpoints").exists()


def _cut(folder: Path) -> None:
    tensors = folder / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-8])


def _flip(folder: Path) -> None:
    tensors = folder / "tensors.safetensors"
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(content)


def _empty(folder: Path) -> None:
    (folder / "state.json").write_text("")


def _unfinished(folder: Path) -> None:
    folder.rename(folder.with_name(".partial-12"))


@pytest.mark.parametrize("damage", [_cut, _flip, _empty, _unfinished, shutil.rmtree])
def test_spoilt_checkpoint_gives_way_to_the_one_before(
    damage: Callable[[Path], None], run_of: RunOf
) -> None:
    params = TrainerParams(epochs=3, batch_size=5, checkpoint_every=4)
    expected, _ = _fit("network", params, run_of("whole"))
    with pytest.raises(InterruptedByTestError):
        _fit("network", params, run_of("broken", dies_at=14))
    resumed = run_of("broken", resume=True)
    damage(resumed.folder / "checkpoints" / "step-00000012")
    model, _ = _fit("network", params, resumed)
    assert ("resumed", {"step": 8}) in resumed.events
    assert_same(model, expected)


def test_nothing_to_resume_from_is_the_beginning(run_of: RunOf) -> None:
    params = TrainerParams(epochs=1)
    expected, _ = _fit("network", params, run_of("whole"))
    resumed = run_of("other", resume=True)
    model, _ = _fit("network", params, resumed)
    assert ("resumed", {"step": 0}) in resumed.events
    assert_same(model, expected)


@pytest.mark.parametrize(
    ("settings", "seed", "message"),
    [
        ({"batch_size": 7}, 0, "batch_size was 5 and is 7"),
        ({"learning_rate": 0.02}, 0, "learning_rate was 0.05 and is 0.02"),
        ({"optimizer": "sgd"}, 0, "optimizer was adamw and is sgd"),
        ({}, 1, "seed was 0 and is 1"),
    ],
)
def test_checkpoint_of_another_recipe_is_refused(
    settings: dict[str, Any], seed: int, message: str, run_of: RunOf
) -> None:
    common = {"max_steps": 4, "batch_size": 5, "checkpoint_every": 4}
    _fit("network", TrainerParams(**common), run_of())
    with pytest.raises(RecipeError, match=f"step 4 is from another recipe: {message}"):
        _fit("network", TrainerParams(**common | settings), run_of(resume=True, seed=seed))


def test_checkpoint_of_other_data_or_another_model_is_refused(run_of: RunOf) -> None:
    params = TrainerParams(max_steps=4, checkpoint_every=4)
    _fit("network", params, run_of())
    resumed = run_of(resume=True)
    with pytest.raises(RecipeError, match="features was 22 and is 23"):
        fit(network(), Points(), training(23, 6), params, resumed)
    with pytest.raises(RecipeError, match="training data was"):
        fit(network(), Points(lengths=lambda row: 2), training(22, 6), params, resumed)
    with pytest.raises(RecipeError, match="validation data was"):
        fit(network(), Points(), training(22, 5), params, resumed)
    partial = network()
    partial.trainable = frozenset(name for name in partial.trainable if name.startswith("4"))
    with pytest.raises(RecipeError, match="trainable parameters was"):
        fit(partial, Points(), training(22, 6), params, resumed)


def test_what_changes_no_weight_may_change(run_of: RunOf) -> None:
    params = TrainerParams(max_steps=4, checkpoint_every=4)
    _fit("network", params, run_of())
    other = params.model_copy(update={"checkpoint_every": 2, "log_every": 3})
    _fit("network", other, run_of(resume=True))
