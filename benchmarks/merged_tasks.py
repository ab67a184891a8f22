"""How much of each parent's accuracy survives a merge, for every strategy, on real data.

    python benchmarks/merged_tasks.py TRAIN TEST --out merged.json

The labels of a classification set are dealt into three parts that share none. A LoRA adapter is
trained on the first, another on the second, and the whole base on the third. Each strategy merges
the three; the merged encoder answers each part's test rows with that part's own head. What is left
is the merged accuracy over the parent's own.
"""

import argparse
import csv
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import adapterhub_lite
from adapterhub_lite.evaluation import evaluate
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
    "lines": {"alpha": 0.3, "beta": 0.7},
    "tsv": {},
    "iso_c": {},
    "iso_cts": {},
}


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


class Scorer:
    """Scores versions and folders on each part's test rows."""

    def __init__(self, files: dict[str, Path], registry: Any) -> None:
        self._files, self._registry = files, registry
        self._catalogue = load_catalogue(first_party_only=True)

    def accuracy(self, ref: str, part: str) -> float:
        """Return the accuracy of a version or folder on a part's test rows."""
        from adapterhub_lite.data.prepare import prepare
        from adapterhub_lite.recipes.data import DataSection

        predictor = adapterhub_lite.load(ref, registry=self._registry, catalogue=self._catalogue)
        section = DataSection(train=str(self._files[part]))
        rows = prepare(section, self._catalogue, rows=predictor.rows_kind).train
        found = evaluate(predictor, rows, self._catalogue, task=predictor.task, only=["accuracy"])
        return found.metrics[0].value


def merged(name: str, scorer: Scorer, options: argparse.Namespace, registry: Any) -> list[float]:
    """Merge by one strategy and return each part's accuracy, with its own head."""
    found = []
    for part in PARTS:
        recipe: dict[str, Any] = {
            "strategy": {"name": name, **STRATEGIES[name]},
            "models": list(PARTS),
            "heads": f"keep {part}",
            "base": options.base,
        }
        with tempfile.TemporaryDirectory() as work:
            out = Path(work) / "merged"
            adapterhub_lite.merge(recipe, out=out, registry=registry)
            found.append(scorer.accuracy(str(out), part))
    return found


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
    parser.add_argument("--strategies", nargs="*", default=list(STRATEGIES))
    parser.add_argument("--home", type=Path, help="keep the trained parents here, and use them")
    parser.add_argument("--out", type=Path, help="write the figures there")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp())
    registry = adapterhub_lite.open_registry(options.home or work / "home")
    training = deal(options.train, options.text, options.label, work)
    scorer = Scorer(deal(options.test, options.text, options.label, work), registry)
    for part in PARTS:
        if part not in registry.names():
            print(f"training {part}", file=sys.stderr, flush=True)
            train(part, training[part], options, registry)
    alone = [scorer.accuracy(part, part) for part in PARTS]
    print(f"| strategy | {' | '.join(PARTS)} | kept, mean |")
    print("|---|---|---|---|---|")
    print(f"| (each alone) | {' | '.join(f'{value:.3f}' for value in alone)} | 100 % |", flush=True)
    rows = {"alone": alone}
    for name in options.strategies:
        rows[name] = merged(name, scorer, options, registry)
        kept = sum(new / old for new, old in zip(rows[name], alone, strict=True)) / len(PARTS)
        figures = " | ".join(f"{value:.3f}" for value in rows[name])
        print(f"| {name} | {figures} | {100 * kept:.0f} % |", flush=True)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
