"""A killed run goes on to the very bytes of one that was left alone; nothing else goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapterhub_lite import api

Ahl = Callable[..., Any]
STEPS = 24


def write_recipe(folder: Path, base: Path, **changes: Any) -> Path:
    recipe = {
        "base": str(base),
        "method": {"name": "lora", "r": 2},
        "objective": {
            "name": "classification",
            "max_steps": STEPS,
            "batch_size": 4,
            "learning_rate": 0.01,
            "checkpoint_every": 2,
            "evaluate_every": 3,
            "early_stopping": 6,
        },
        "data": {"train": "train.csv", "validation": "test.csv", "text": "text", "label": "label"},
        "publish": "run",
    } | changes
    file = folder / "recipe.yml"
    file.write_text(yaml.safe_dump(recipe))
    return file


def kill_in_the_middle(recipe: Path, home: Path) -> Path:
    """Start a training in another process, kill it after a checkpoint; return its folder."""
    command = [sys.executable, "-m", "adapterhub_lite", "train", str(recipe)]
    environment = {**os.environ, "ADAPTERHUB_LITE_HOME": str(home)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and process.poll() is None:
            done = list(home.glob("runs/*/seed-*/checkpoints/step-*"))
            if len(done) >= 2:
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    (folder,) = (home / "runs").iterdir()
    assert "finished" not in (folder / "events.jsonl").read_text(), "it was too fast to be killed"
    return folder


def weights(ref: str) -> dict[str, str]:
    files = api.open_registry().resolve(ref).manifest.files
    return {entry.path: entry.sha256 for entry in files if entry.path.endswith(".safetensors")}


@pytest.mark.parametrize("method", [{"name": "lora", "r": 2}, {"name": "full"}])
def test_a_killed_run_goes_on_to_the_same_bytes(
    ahl: Ahl, folder: Path, home: Path, tiny_base: Path, method: dict[str, Any]
) -> None:
    recipe = write_recipe(folder, tiny_base, method=method)
    run = kill_in_the_middle(recipe, home)
    assert api.open_registry().names() == [], "nothing was published"
    done = ahl("train", recipe, "--resume", run)
    assert done.code == 0, done.err
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    (resumed,) = [event for event in events if event["event"] == "resumed"]
    assert 0 < resumed["step"] < STEPS, "it did not begin anew"
    assert ahl("train", recipe).code == 0
    assert weights("run@1") == weights("run@2")
    assert weights("run@1")


def test_only_the_same_recipe_and_rows_go_on(ahl: Ahl, folder: Path, tiny_base: Path) -> None:
    recipe = write_recipe(folder, tiny_base)
    run = interrupted(ahl, folder, recipe)
    for words, said in (
        (("--set", "objective.learning_rate=0.02"), "objective.learning_rate"),
        (("--set", "method.r=4"), "method.r"),
        (("--seed", "5"), "seed"),
    ):
        refused = ahl("train", recipe, "--resume", run, *words)
        assert refused.code == 2
        assert said in refused.err
        assert len(refused.err.strip().splitlines()) == 2
    with (folder / "train.csv").open("a") as stream:
        stream.write("one more plum,fruit\n")
    refused = ahl("train", recipe, "--resume", run)
    assert refused.code == 2
    assert "rows.train" in refused.err
    refused = ahl("train", recipe, "--resume", folder)
    assert refused.code == 2
    assert "is not the folder of a run" in refused.err
    assert api.open_registry().names() == []


def interrupted(ahl: Ahl, folder: Path, recipe: Path) -> str:
    """Interrupt a run at its tenth step, as Ctrl-C does; return the folder that it names."""
    from adapterhub_lite.training.events import SeedRun

    plain = SeedRun.step

    def step(self: SeedRun, stage: str, done: int, total: int, **figures: float) -> None:
        plain(self, stage, done, total, **figures)
        if stage == "train" and done == 10:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SeedRun, "step", step)
        stopped = ahl("train", recipe)
    assert stopped.code == 130
    (line,) = [line for line in stopped.err.splitlines() if "--resume" in line]
    return str(line.split("--resume ")[1])


def test_a_loss_that_is_not_finite_names_its_step_and_publishes_nothing(
    ahl: Ahl, folder: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapterhub_lite_tasks.classification import ClassificationLearner

    plain, calls = ClassificationLearner.loss, []

    def loss(self: Any, model: Any, batch: Any) -> Any:
        calls.append(1)
        found = plain(self, model, batch)
        return found * float("nan") if len(calls) == 7 else found

    monkeypatch.setattr(ClassificationLearner, "loss", loss)
    done = ahl("train", write_recipe(folder, tiny_base))
    assert done.code == 1
    assert "the loss became nan at step 7" in done.err
    assert "--resume" not in done.err, "the same steps would lead there again"
    assert api.open_registry().names() == []
