"""What merging costs: CPU seconds and memory, beside mergekit and PEFT.

    python benchmarks/merge.py FOLDER --mergekit /path/to/mergekit-yaml [--only ties slerp]

FOLDER takes checkpoints of 258 million parameters in bfloat16 (a base and three others; made when
they are not there: 2 GB), a pair of models of 18,900 small tensors, and a set four times as large
(8 GB). mergekit, in its own environment, and ours run the same YAML one after the other, each as a
child of this process. CPU seconds are user and system time of the child; memory is the peak of what
cannot be evicted (RssAnon, of the child and its children, looked at every 10 ms). At the end LoRA
adapters are merged, beside PEFT's add_weighted_adapter (``--parts`` chooses).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import yaml
from merge_adapters import compare_with_peft
from safetensors.torch import save_file

WIDTH, INNER, VOCABULARY = 1024, 2816, 32000
LAYERS, LARGE_LAYERS = 15, 75
SMALL_LAYERS, SMALL_WIDTH = 2100, 16
PARTS = ("strategies", "small", "large", "adapters")
WEIGHTED = {"weight": [0.5, 0.3, 0.4]}
SPARSE = {**WEIGHTED, "density": [0.5, 0.5, 0.5]}


@dataclass(frozen=True)
class Case:
    """A strategy as it is measured: with a base or not, how many models, and what is asked."""

    base: bool
    models: int
    each: dict[str, list[float]]
    shared: dict[str, Any]
    wanted: float


CASES = {
    "linear": Case(False, 3, WEIGHTED, {}, 3),
    "task_arithmetic": Case(True, 3, WEIGHTED, {}, 3),
    "slerp": Case(True, 1, {}, {"t": 0.3}, 4),
    "ties": Case(True, 3, SPARSE, {}, 10),
    "dare_ties": Case(True, 3, SPARSE, {}, 7),
    "della": Case(True, 3, SPARSE, {}, 6),
    "breadcrumbs_ties": Case(True, 3, SPARSE, {}, 6),
    "sce": Case(True, 3, {}, {"select_topk": 0.5}, 6),
    "karcher": Case(False, 3, {}, {}, 6),
    "multislerp": Case(False, 3, WEIGHTED, {}, 1),
    "model_stock": Case(True, 3, {}, {}, 1),
}
"""``wanted`` is how many times less CPU ours is to take."""


@dataclass(frozen=True)
class Cost:
    """What a child took: CPU seconds, and the peak of its memory that cannot be evicted."""

    seconds: float
    megabytes: float


def shapes(layers: int, width: int, inner: int, vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Return the tensors of a Llama."""
    found: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocabulary, width),
        "model.norm.weight": (width,),
        "lm_head.weight": (vocabulary, width),
    }
    for number in range(layers):
        start = f"model.layers.{number}."
        found |= {f"{start}self_attn.{part}_proj.weight": (width, width) for part in "qkvo"}
        found |= {f"{start}mlp.{part}_proj.weight": (inner, width) for part in ("gate", "up")}
        found[f"{start}mlp.down_proj.weight"] = (width, inner)
        norms = ("input_layernorm", "post_attention_layernorm")
        found |= {f"{start}{norm}.weight": (width,) for norm in norms}
    return found


def make_models(folder: Path, names: list[str], layers: int, width: int, inner: int) -> None:
    """Write a base and models near to it, where they are not there yet."""
    vocabulary = VOCABULARY if width == WIDTH else 64
    every = shapes(layers, width, inner, vocabulary)
    for seed, name in enumerate(names):
        target = folder / name
        if (target / "config.json").is_file():
            continue
        target.mkdir(parents=True, exist_ok=True)
        base, own = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
        state = {}
        for key, shape in every.items():
            value = torch.randn(shape, generator=base).mul_(0.02)
            if seed:
                value.add_(torch.randn(shape, generator=own), alpha=0.002)
            state[key] = value.bfloat16()
        save_file(state, target / "model.safetensors", metadata={"format": "pt"})
        (target / "config.json").write_text(json.dumps(config(layers, width, inner, vocabulary)))


def config(layers: int, width: int, inner: int, vocabulary: int) -> dict[str, Any]:
    """Return what config.json says of them."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "dtype": "bfloat16",
        "hidden_size": width,
        "intermediate_size": inner,
        "max_position_embeddings": 2048,
        "model_type": "llama",
        "num_attention_heads": width // 8 if width < 64 else width // 64,
        "num_hidden_layers": layers,
        "num_key_value_heads": width // 8 if width < 64 else width // 64,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "vocab_size": vocabulary,
    }


def recipe(method: str, case: Case, models: Path, target: Path) -> Path:
    """Write mergekit's YAML of a case."""
    entries = []
    for number in range(case.models):
        entry: dict[str, Any] = {"model": str(models / f"m{number + 1}")}
        if case.each:
            entry["parameters"] = {key: values[number] for key, values in case.each.items()}
        entries.append(entry)
    content: dict[str, Any] = {"merge_method": method, "models": entries}
    if case.base:
        content["base_model"] = str(models / "m0")
    if case.shared:
        content["parameters"] = case.shared
    target.write_text(yaml.safe_dump(content))
    return target


def measured(command: list[str], threads: int) -> Cost:
    """Run a command and return what it took; raises RuntimeError when it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled once
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        peak = [0]
        done = threading.Event()
        watcher = threading.Thread(target=watch, args=(child.pid, done, peak))
        watcher.start()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        done.set()
        watcher.join()
        if child.returncode:
            said.seek(0)
            raise RuntimeError(f"{command[0]} failed:\n{said.read().decode()[-2000:]}")
    return Cost(usage.ru_utime + usage.ru_stime, peak[0] / 1e6)


def watch(process: int, done: threading.Event, peak: list[int]) -> None:
    """Keep the largest sum of the family's RssAnon, in bytes."""
    while not done.wait(0.01):
        peak[0] = max(peak[0], sum(map(anonymous_bytes, family(process))))


def family(process: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [process]
    try:
        children = [file.read_text() for file in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:  # it, or one of its threads, has just ended
        return found
    for child in " ".join(children).split():
        found += family(int(child))
    return found


def anonymous_bytes(process: int) -> int:
    """Return the memory of a process that no file stands behind; 0 when it is gone."""
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0


class Merges:
    """Runs recipes with both, in a folder of its own."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.work = options.folder / "work"
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)

    def ours(self, path: Path) -> Cost:
        """Run ``ahl merge``."""
        out, threads = self.work / "ours", str(self.options.threads)
        command = [sys.executable, "-m", "adapterhub_lite", "merge", str(path), "--out", str(out)]
        command += ["--threads", threads, "--home", str(self.work / "home")]
        return self._run(command, out)

    def theirs(self, path: Path) -> Cost:
        """Run ``mergekit-yaml``."""
        out = self.work / "theirs"
        command = [self.options.mergekit, str(path), str(out), "-j", str(self.options.threads)]
        return self._run([*command, "--no-copy-tokenizer", "--no-write-model-card", "--quiet"], out)

    def compare(self, title: str, path: Path, wanted: float) -> None:
        """Run both in turns and print a row of medians."""
        pairs = [(self.theirs(path), self.ours(path)) for _ in range(self.options.rounds)]
        print_row(title, *(middle(list(column)) for column in zip(*pairs, strict=True)), wanted)

    def _run(self, command: list[str], out: Path) -> Cost:
        try:
            return measured(command, self.options.threads)
        finally:
            shutil.rmtree(out, ignore_errors=True)


def middle(costs: list[Cost]) -> Cost:
    """Return the medians."""
    return Cost(median(cost.seconds for cost in costs), median(cost.megabytes for cost in costs))


def print_row(title: str, theirs: Cost, ours: Cost, wanted: float) -> None:
    """Print what both took, and how many times less ours did."""
    seconds = f"{theirs.seconds:10.1f}{ours.seconds:9.1f}{theirs.seconds / ours.seconds:8.1f}x"
    memory = f"{theirs.megabytes:10.0f}{ours.megabytes:9.0f}"
    memory += f"{theirs.megabytes / ours.megabytes:8.1f}x"
    print(f"{title:<22}{seconds}{f'≥ {wanted:g}':>7}{memory}{'≥ 4':>6}", flush=True)


def main() -> None:
    """Make what is missing, measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mergekit", required=True, help="the command mergekit-yaml")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    options.folder = options.folder.resolve()
    merges = Merges(options)
    head = f"{'':<22}{'mergekit':>10}{'ours':>9}{'ratio':>9}{'asked':>7}"
    print(f"{head}{'mergekit':>10}{'ours':>9}{'ratio':>9}\n{'':<22}CPU seconds{'':>24}anonymous MB")
    middling = options.folder / "middle"
    if "strategies" in options.parts or "large" in options.parts:
        make_models(middling, ["m0", "m1", "m2", "m3"], LAYERS, WIDTH, INNER)
    if "strategies" in options.parts:
        for method in options.only:
            path = recipe(method, CASES[method], middling, merges.work / f"{method}.yml")
            merges.compare(method, path, CASES[method].wanted)
    if "small" in options.parts:
        make_models(options.folder / "small", ["m0", "m1"], SMALL_LAYERS, SMALL_WIDTH, SMALL_WIDTH)
        case = Case(True, 1, {"weight": [0.5]}, {}, 20)
        path = recipe("task_arithmetic", case, options.folder / "small", merges.work / "small.yml")
        merges.compare("18,903 small tensors", path, case.wanted)
    if "large" in options.parts:
        compare_sizes(merges, options.folder)
    if "adapters" in options.parts:
        compare_with_peft()


def compare_sizes(merges: Merges, folder: Path) -> None:
    """Print how our memory grows with the models, at the same strategy."""
    make_models(folder / "large", ["m0", "m1", "m2", "m3"], LARGE_LAYERS, WIDTH, INNER)
    for method in ("ties", "slerp"):
        costs = []
        for size in ("middle", "large"):
            path = recipe(method, CASES[method], folder / size, merges.work / f"{size}.yml")
            costs.append(merges.ours(path).megabytes)
        small, large = costs
        print(
            f"{method}, models 4 times as large: {small:.0f} → {large:.0f} MB anonymous,", end=" "
        )
        print(f"{large / small:.2f}x (asked: < 1.3)", flush=True)


if __name__ == "__main__":
    main()
