"""Few-shot engines side by side: ours, the setfit library, and the tuned frozen baseline.

    python benchmarks/fewshot.py TRAIN TEST --shots 8 --seeds 3 --peer-steps 500

Each engine trains on the same rows of each seed, one thread, in one process; CPU seconds are those
of training, all threads counted, without loading or scoring. For ours that includes the frozen
baseline and the cross-validation that chooses between the two.
"""

import argparse
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from adapterhub_lite import api
from adapterhub_lite.data.table import TextSet
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.training.plan import Plan

Result = dict[str, float]


class SilentRun:
    """A run that nobody follows."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def emit(self, event: str, **fields: Any) -> None:
        """Drop the event."""

    def step(self, stage: str, done: int, total: int, **figures: float) -> None:
        """Drop the progress."""


def accuracy(predict: Callable[[list[str]], list[str]], test: TextSet) -> float:
    """Return the share of test rows that get their label."""
    predicted = predict(list(test.texts))
    return fmean(float(p == label) for p, (label,) in zip(predicted, test.labels, strict=True))


def by_probability(scorer: Any) -> Callable[[list[str]], list[str]]:
    """Return a function that labels texts by a scorer's highest probability."""

    def predict(texts: list[str]) -> list[str]:
        return [scorer.classes[i] for i in scorer.predict_proba(texts).argmax(1)]

    return predict


def ours(plan: Plan, seed: int, test: TextSet) -> dict[str, Result]:
    """Train with the engine ``fast``; the frozen baseline comes with it."""
    catalogue = get_catalogue()
    base = catalogue.implementation(plan.loader.spec).load(plan.base, plan.loader.params)
    attached = catalogue.implementation(plan.method.spec).attach(base, plan.method.params)
    objective = catalogue.implementation(plan.objective.spec)
    rows = plan.training_rows(seed)
    start, wall = time.process_time(), time.perf_counter()
    outcome = objective.fit(attached, rows, plan.objective.params, SilentRun(seed))
    seconds, wall = time.process_time() - start, time.perf_counter() - wall
    print(f"    kept {outcome.kept}: {outcome.reason}")
    return {
        "ours": {
            "accuracy": accuracy(by_probability(outcome.scorer), test),
            "cpu": seconds,
            "wall": wall,
        },
        "frozen": {"accuracy": accuracy(by_probability(outcome.baseline), test)},
    }


def setfit_library(plan: Plan, seed: int, test: TextSet, steps: int) -> Result:
    """Train with setfit as its documentation shows, for a number of steps."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    rows = plan.training_rows(seed)
    number = {name: i for i, name in enumerate(rows.classes)}
    data = Dataset.from_dict(
        {"text": list(rows.texts), "label": [number[label] for (label,) in rows.labels]}
    )
    model = SetFitModel.from_pretrained(plan.base.path, labels=list(rows.classes))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arguments = TrainingArguments(
            output_dir=folder, max_steps=steps, seed=seed, report_to="none", save_strategy="no",
            show_progress_bar=False,
        )  # fmt: skip
        trainer = Trainer(model=model, args=arguments, train_dataset=data)
        start, wall = time.process_time(), time.perf_counter()
        trainer.train()
        seconds, wall = time.process_time() - start, time.perf_counter() - wall
    return {
        "accuracy": accuracy(lambda texts: [str(p) for p in model.predict(texts)], test),
        "cpu": seconds,
        "wall": wall,
    }


def main() -> None:
    """Run the comparison and print a table, the ratio, and JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--shots", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--peer-steps", type=int, default=500)
    parser.add_argument("--peer-seeds", type=int, help="fewer seeds for the slow peer; 0 for none")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    recipe = {
        "base": options.base,
        "preset": "setfit",
        "data": {"train": options.train, "test": options.test, "shots": options.shots},
    }
    with tempfile.TemporaryDirectory() as home:
        plan = api.plan(recipe, registry=api.open_registry(home))
    assert plan.data.test is not None
    peer_seeds = options.seeds if options.peer_seeds is None else options.peer_seeds
    results: dict[str, list[Result]] = {"frozen": [], "ours": [], "setfit": []}
    for seed in range(options.seeds):
        print(f"seed {seed}")
        for name, result in ours(plan, seed, plan.data.test).items():
            results[name].append(result)
            print(f"    {name:<8}{result}", flush=True)
        if seed < peer_seeds:
            peer = setfit_library(plan, seed, plan.data.test, options.peer_steps)
            results["setfit"].append(peer)
            print(f"    setfit  {peer}", flush=True)
    report(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


def report(results: dict[str, list[Result]]) -> None:
    """Print means, and how much less CPU ours takes than the peer."""
    for name, runs in results.items():
        if runs:
            cpu = np.mean([run.get("cpu", float("nan")) for run in runs])
            mean = fmean(run["accuracy"] for run in runs)
            print(f"{name:<8} accuracy {mean:.4f}  CPU s {cpu:.1f}  ({len(runs)} seeds)")
    if results["setfit"]:
        shared = range(len(results["setfit"]))
        ratio = fmean(results["setfit"][i]["cpu"] / results["ours"][i]["cpu"] for i in shared)
        print(f"setfit takes {ratio:.1f} times the CPU of ours")


if __name__ == "__main__":
    main()
