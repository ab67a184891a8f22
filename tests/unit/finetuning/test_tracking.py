"""Trackers get the run's own figures."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from adapterhub_lite.errors import MissingDependencyError
from adapterhub_lite.finetuning.loop import fit
from adapterhub_lite.finetuning.params import TrainerParams
from tests.unit.finetuning.conftest import FakeRun, Points, RunOf, network, training


def _fit(run: FakeRun, *names: Any) -> None:
    params = TrainerParams(epochs=1, batch_size=4, report_to=names)
    fit(network(), Points(), training(12, 4), params, run)


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_says_how_to_install_a_tracker(
    name: str, run_of: RunOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=name) as caught:
        _fit(run_of(), name)
    assert caught.value.install == f"pip install 'adapterhub-lite[{name}]'"


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_services_get_the_same_figures(
    name: str, run_of: RunOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, Any]] = []
    service = SimpleNamespace(
        init=lambda **options: calls.append(("init", options)),
        log=lambda figures, step: calls.append(("log", (step, figures))),
        finish=lambda: calls.append(("finish", None)),
    )
    monkeypatch.setitem(sys.modules, name, service)
    run = run_of("seed-0")
    _fit(run, name)
    kinds = [kind for kind, _ in calls]
    assert kinds == ["init", "log", "log", "log", "log", "finish"]
    first, last = run.steps[0], run.evaluations()[0]
    figures = {f"train/{name}": first[name] for name in ("loss", "learning_rate", "grad_norm")}
    assert calls[1][1] == (1, figures)
    assert calls[4][1] == (3, {"validation/score": last["score"]})
    assert calls[0][1]["name"].endswith("-seed-0")


def test_tensorboard_gets_the_same_figures(run_of: RunOf) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = run_of()
    _fit(run, "tensorboard")
    events = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    found = [(scalar.step, scalar.value) for scalar in events.Scalars("train/loss")]
    expected = [(step["done"], pytest.approx(step["loss"], rel=1e-6)) for step in run.steps]
    assert found == expected
    assert events.Scalars("validation/score")[0].step == 3
