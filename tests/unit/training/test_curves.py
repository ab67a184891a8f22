"""Curves come from a run's events: loss, the deciding validation score, learning rate."""

from typing import Any

from adapterhub_lite.reports.curves import read_curves


def step(done: int, loss: float, seed: int = 0, **more: Any) -> dict[str, Any]:
    return {"event": "step", "stage": "train", "seed": seed, "done": done, "loss": loss, **more}


def test_each_curve_is_by_step_and_seed() -> None:
    events = [
        step(5, 0.9, learning_rate=2e-4),
        {"event": "evaluated", "time": 1.0, "seed": 0, "macro_f1": 0.5, "accuracy": 0.6, "step": 5},
        step(10, 0.8, learning_rate=1e-4),
        step(5, 0.7, seed=1),
        {"event": "step", "stage": "test", "seed": 0, "done": 3, "total": 3},
    ]
    loss, validation, rate = read_curves(events)
    assert loss.lines == {"seed 0": {5: 0.9, 10: 0.8}, "seed 1": {5: 0.7}}
    assert (validation.title, validation.lines) == ("validation macro_f1", {"seed 0": {5: 0.5}})
    assert rate.lines == {"seed 0": {5: 2e-4, 10: 1e-4}}


def test_a_step_that_a_resumed_run_takes_again_counts_once() -> None:
    (loss,) = read_curves([step(1, 0.9), step(2, 0.8), step(2, 0.81), step(3, 0.7)])
    assert loss.lines == {"seed 0": {1: 0.9, 2: 0.81, 3: 0.7}}


def test_nothing_reported_is_nothing_drawn() -> None:
    assert read_curves([{"event": "started"}]) == []
