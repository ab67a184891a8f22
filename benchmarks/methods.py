"""Fine-tuning methods side by side on one classification task, from one recipe.

    python benchmarks/methods.py TRAIN TEST --epochs 2 --json methods.json

Each method trains in a process of its own, on one thread: the CPU seconds of a step and the peak
memory are that process's. Accuracy is on the test rows, with its 95 % bootstrap interval.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

METHODS: dict[str, dict[str, Any]] = {
    "full": {"method": "full", "rate": 5e-4},
    "linear-probe": {"preset": "linear-probe", "rate": 3e-3},
    "lora": {"method": {"name": "lora", "r": 8}, "rate": 2e-3},
    "qlora": {"preset": "qlora", "method": {"name": "lora", "r": 8}, "rate": 2e-3},
    "bottleneck": {"preset": "pfeiffer", "rate": 2e-3},
    "prefix": {"method": {"name": "prefix", "num_virtual_tokens": 16}, "rate": 1e-2},
    "prompt": {"method": {"name": "prompt", "num_virtual_tokens": 16}, "rate": 1e-2},
}
"""Method → what of the recipe it changes, and its peak learning rate."""


def recipe(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the recipe of one method; all else is the same for all."""
    changes = dict(METHODS[name])
    objective = {
        "name": "classification",
        "epochs": options.epochs,
        "batch_size": 32,
        "max_length": 64,
        "learning_rate": changes.pop("rate"),
        "schedule": "linear",
        "warmup": 0.06,
    }
    if options.steps:
        objective["max_steps"] = options.steps
    data = {"train": str(options.train), "test": str(options.test)}
    return {"base": options.base, "objective": objective, "data": data, "device": "cpu", **changes}


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train one method here, and return what it took and gave."""
    import adapterhub_lite
    from adapterhub_lite.training.events import read_events

    with tempfile.TemporaryDirectory() as home:
        registry = adapterhub_lite.open_registry(home)
        start = time.process_time()
        result = adapterhub_lite.train(recipe(name, options), registry=registry)
        total = time.process_time() - start
        steps = [e for e in read_events(result.folder / "events.jsonl") if e["event"] == "step"]
        count = max(e["done"] for e in steps if e["stage"] == "train")
    assert result.best.test is not None
    head = result.best.test.metrics[0]
    return {
        "method": name,
        "accuracy": head.value,
        "interval": head.interval,
        "trainable": result.plan.trainable,
        "share": result.plan.trainable / result.plan.architecture.parameters,
        "steps": count,
        "cpu_seconds_a_step": result.best.seconds / count,
        "cpu_seconds": total,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def in_own_process(name: str, arguments: list[str]) -> dict[str, Any]:
    """Measure one method in a fresh process with one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, *arguments, "--only", name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"method": name, "refused": done.stderr.strip().splitlines()[-1]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def show(row: dict[str, Any]) -> None:
    """Print one method's line of the table."""
    if "refused" in row:
        print(f"| {row['method']} | {row['refused']} | | | | |", flush=True)
        return
    low, high = row["interval"]
    print(
        f"| {row['method']} | {row['accuracy']:.4f} ({low:.4f} to {high:.4f}) "
        f"| {100 * row['share']:.2f} | {row['peak_mib']:,.0f} "
        f"| {row['cpu_seconds_a_step']:.3f} | {row['steps']} |",
        flush=True,
    )


def main() -> None:
    """Run every method and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--steps", type=int, help="stop after so many steps")
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only, options)))
        return
    arguments = [str(options.train), str(options.test), "--base", options.base]
    arguments += ["--epochs", str(options.epochs)]
    arguments += ["--steps", str(options.steps)] if options.steps else []
    print("| method | accuracy (95 %) | trainable % | peak MiB | CPU s a step | steps |")
    print("|---|---|---|---|---|---|", flush=True)
    rows = []
    for name in options.methods:
        rows.append(in_own_process(name, arguments))
        show(rows[-1])
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
