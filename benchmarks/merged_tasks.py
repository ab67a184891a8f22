"""How much of each parent's accuracy survives a merge, for every strategy, on real data.

    python benchmarks/merged_tasks.py TRAIN TEST --out merged.json

The labels of a classification set are dealt into three parts that share none. A LoRA adapter is
trained on the first, another on the second, and the whole base on the third. Each strategy merges
the three; the merged encoder answers each part's test rows with that part's own head, by ``ahl
eval``. What is left is the merged accuracy over the parent's own. Strategies that use data see
eight training rows a label, without their labels. Those of two models merge a LoRA and the whole
model, the first being the base where there has to be one; those of LoRAs merge the two LoRAs; those
of one model take the whole one.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import adapterhub_lite
from adapterhub_lite.plugins import load_catalogue

PARTS = ("lora-a", "lora-b", "full-c")
METHODS: dict[str, dict[str, Any]] = {
    "lora-a": {"method": {"name": "lora", "r": 16}, "rate": 2e-3},
    "lora-b": {"method": {"name": "lora", "r": 16}, "rate": 2e-3},
    "full-c": {"method": "full", "rate": 5e-4},
}
STRATEGIES: dict[str, dict[str, Any]] = {
    "linear": {},
    "task_arithmetic": {"lambda": 0.5},
    "ties": {"density": 0.3},
    "dare_ties": {"density": 0.5},
    "dare_linear": {"density": 0.5, "lambda": 0.5},
    "della": {"density": 0.5, "epsilon": 0.1},
    "della_linear": {"density": 0.5, "epsilon": 0.1, "lambda": 0.5},
    "breadcrumbs": {"density": 0.5, "lambda": 0.5},
    "breadcrumbs_ties": {"density": 0.5},
    "model_stock": {},
    "multislerp": {},
    "karcher": {},
    "sce": {"select_topk": 0.3},
    "magmax": {"lambda": 0.5},
    "consensus_ta": {"lambda": 0.5},
    "pcb": {},
    "ram": {},
    "ramplus": {},
    "ramplus_tl": {},
    "lines": {"alpha": 0.3, "beta": 0.7},
    "tsv": {},
    "iso_c": {},
    "iso_cts": {},
    "wudi": {"iterations": 50},
    "fisher": {},
    "regmean": {},
    "adamerging": {"steps": 100},
    "slerp": {"t": 0.5},
    "nuslerp": {},
    "nearswap": {"t": 1e-4},
    "arcee_fusion": {},
    "expo": {},
    "passthrough": {},
    "cat": {},
    "svd": {},
    "linear-exact": {},
    "knots": {},
}
PAIR = ("lora-a", "full-c")
LORAS = ("lora-a", "lora-b")
ONE = ("full-c",)
AMONG = {
    **dict.fromkeys(("expo", "passthrough"), ONE),
    **dict.fromkeys(("slerp", "nuslerp", "nearswap", "arcee_fusion"), PAIR),
    **dict.fromkeys(("cat", "svd", "linear-exact", "knots"), LORAS),
}
"""Whom a strategy merges that does not take all three."""
BASE_FIRST = ("nearswap", "arcee_fusion")
"""Strategies that move the base towards one other model."""
NO_BASE = ("slerp",)
"""Strategies that would take a base as one of the models."""
SHOTS = 8


def deal(file: Path, text: str, label: str, folder: Path) -> dict[str, Path]:
    """Write one file a part, with the rows of every third label."""
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    labels = sorted({row[label] for row in rows})
    part_of = {name: PARTS[number % len(PARTS)] for number, name in enumerate(labels)}
    files = {part: folder / f"{file.stem}-{part}.csv" for part in PARTS}
    for part, place in files.items():
        with place.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["text", "label"])
            own = (row for row in rows if part_of[row[label]] == part)
            writer.writerows([row[text], row[label]] for row in own)
    return files


def few(file: Path) -> Path:
    """Write a file's first rows of each label beside it."""
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    seen: Counter[str] = Counter()
    target = file.with_name(f"few-{file.name}")
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        for row in rows:
            seen[row["label"]] += 1
            if seen[row["label"]] <= SHOTS:
                writer.writerow([row["text"], row["label"]])
    return target


def train(part: str, file: Path, options: argparse.Namespace, registry: Any) -> None:
    """Train a parent and publish it under the part's name."""
    changes = dict(METHODS[part])
    objective = {
        "name": "classification",
        "epochs": options.epochs,
        "batch_size": 32,
        "max_length": 64,
        "learning_rate": changes.pop("rate"),
    }
    recipe = {
        "base": options.base,
        "objective": objective,
        "data": {"train": str(file)},
        "publish": part,
        **changes,
    }
    adapterhub_lite.train(recipe, registry=registry)


def accuracy(ref: str, file: Path, home: Path) -> float:
    """Return the accuracy of a version or folder on a file's rows, as ``ahl eval`` says."""
    command = [sys.executable, "-m", "adapterhub_lite", "eval", ref, "--data", str(file)]
    command += ["--metric", "accuracy", "--no-record", "--json", "--home", str(home)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (version,) = json.loads(said)["versions"]
    (found,) = version["metrics"]
    return float(found["value"])


class Bench:
    """Merges the parents, and asks what each part's rows are answered with."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self.options = options
        self.home: Path = options.home or work / "home"
        self.registry = adapterhub_lite.open_registry(self.home)
        self._catalogue = load_catalogue(first_party_only=True)
        self.training = deal(options.train, options.text, options.label, work)
        self._test = deal(options.test, options.text, options.label, work)

    def alone(self) -> dict[str, float]:
        """Train the parents that are not there yet, and return each one's own accuracy."""
        for part in PARTS:
            if part not in self.registry.names():
                print(f"training {part}", file=sys.stderr, flush=True)
                train(part, self.training[part], self.options, self.registry)
        return {part: accuracy(part, self._test[part], self.home) for part in PARTS}

    def merged(self, name: str) -> dict[str, float]:
        """Merge by one strategy and return each merged part's accuracy, with its own head."""
        found = {}
        for part in AMONG.get(name, PARTS):
            with tempfile.TemporaryDirectory() as work:
                out = Path(work) / "merged"
                adapterhub_lite.merge(self._recipe(name, part), out=out, registry=self.registry)
                found[part] = accuracy(str(out), self._test[part], self.home)
        return found

    def _recipe(self, name: str, part: str) -> dict[str, Any]:
        spec = self._catalogue.strategy(name)
        among = AMONG.get(name, PARTS)
        base = among[0] if name in BASE_FIRST else self.options.base
        models: list[dict[str, Any]] = [{"ref": model} for model in among if model != base]
        if "needs-data" in spec.capabilities:
            for model in models:
                model["data"] = {"train": str(few(self.training[model["ref"]]))}
        recipe = {
            "strategy": {"name": name, **STRATEGIES[name]},
            "models": models,
            "heads": f"keep {part}",
        }
        if among == LORAS:
            return {**recipe, "output": {"kind": "adapter"}}
        return recipe if spec.base == "unused" or name in NO_BASE else {**recipe, "base": base}


def row(name: str, found: dict[str, float], alone: dict[str, float]) -> str:
    """Return a line of the table: accuracies, and what is left of the merged parents' own."""
    figures = [f"{found[part]:.3f}" if part in found else "" for part in PARTS]
    kept = sum(value / alone[part] for part, value in found.items()) / len(found)
    return f"| {name} | {' | '.join(figures)} | {100 * kept:.0f} % |"


def main() -> None:
    """Train the parents, merge them by every strategy, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--text", default="text")
    parser.add_argument("--label", default="category")
    parser.add_argument("--strategies", nargs="*", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--home", type=Path, help="keep the trained parents here, and use them")
    parser.add_argument("--out", type=Path, help="write the figures there")
    options = parser.parse_args()
    bench = Bench(options, Path(tempfile.mkdtemp()))
    alone = bench.alone()
    print(f"| strategy | {' | '.join(PARTS)} | kept, mean |")
    print("|---|---|---|---|---|")
    print(row("(each alone)", alone, alone), flush=True)
    rows = {"alone": alone}
    for name in options.strategies:
        rows[name] = bench.merged(name)
        print(row(name, rows[name], alone), flush=True)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
