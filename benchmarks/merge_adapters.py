"""Merging LoRA adapters into one: ours beside PEFT's add_weighted_adapter, in this process.

    python benchmarks/merge_adapters.py

Four adapters of rank 16 on a square weight; the result has rank 16. Both merge what is in memory;
beside it stands what ours takes from the adapters' folders to a new one. ``benchmarks/merge.py``
ends with this.
"""

import os
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from peft import LoraConfig, get_peft_model

from adapterhub_lite.merging.adapters.files import read_lora_folder
from adapterhub_lite.merging.adapters.merge import merge_adapters, merge_factors
from adapterhub_lite.merging.engine import Applied
from adapterhub_lite.merging.memory import split_params
from adapterhub_lite.plugins import load_catalogue
from adapterhub_lite.streaming.factors import Compressed, RankChoice

WIDTH, RANK, REPETITIONS = 2048, 16, 5
WEIGHTS = {"one": 0.4, "two": 0.3, "three": 0.2, "four": 0.5}
CASES = {
    "svd": ("svd", {}, 200.0),
    "ties_svd": ("ties", {"density": 0.5}, 10.0),
    "dare_linear_svd": ("dare_linear", {"density": 0.5}, 10.0),
    "dare_ties_svd": ("dare_ties", {"density": 0.5}, 10.0),
}
"""PEFT's name → ours, parameters of both, and how many times faster ours is to be."""


class Model(torch.nn.Module):
    """One linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Apply it."""
        result: torch.Tensor = self.layer(values)
        return result


def with_adapters() -> Any:
    """Return a PEFT model with the adapters, all of them random."""
    torch.manual_seed(0)
    settings = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=["layer"])
    model: Any = None
    for name in WEIGHTS:
        if model is None:
            model = get_peft_model(Model(), settings, adapter_name=name)
        else:
            model.add_adapter(name, settings)
        layer = model.base_model.model.layer
        torch.nn.init.normal_(layer.lora_A[name].weight, std=0.02)
        torch.nn.init.normal_(layer.lora_B[name].weight, std=0.02)
    return model


def theirs(model: Any, kind: str, parameters: dict[str, float]) -> tuple[float, torch.Tensor]:
    """Return the CPU seconds that PEFT takes, and its ΔW."""
    start = time.process_time()
    model.add_weighted_adapter(
        list(WEIGHTS),
        list(WEIGHTS.values()),
        kind,
        combination_type=kind,
        svd_rank=RANK,
        **parameters,
    )
    taken = time.process_time() - start
    return taken, model.base_model.model.layer.get_delta_weight(kind).detach()


def ours(
    folder: Path, strategy: str, parameters: dict[str, float]
) -> tuple[float, float, torch.Tensor]:
    """Return the CPU seconds in memory, those from folders to a folder, and our ΔW."""
    catalogue = load_catalogue(first_party_only=True)
    spec = catalogue.strategy(strategy)
    applied = Applied(spec, catalogue.implementation(spec))
    own = [{"weight": weight, **parameters} for weight in WEIGHTS.values()]
    folders = [folder / name for name in WEIGHTS]
    adapters = [read_lora_folder(path, path.name) for path in folders]
    params, each = split_params(spec, {}, own)
    rank = RankChoice(rank=RANK)

    def in_memory() -> Mapping[str, Compressed]:
        return merge_factors(adapters, applied, lambda _: (params, each), rank)

    def with_files() -> Mapping[str, Compressed]:
        with tempfile.TemporaryDirectory() as out:
            destination = Path(out) / "merged"
            return merge_adapters(
                folders, destination, strategy, catalogue, model_params=own, rank=rank
            ).modules

    (result,) = in_memory().values()
    return seconds(in_memory), seconds(with_files), result.factors.dense()


def seconds(merge: Callable[[], object]) -> float:
    """Return the median of the CPU seconds of some repetitions."""
    times = []
    for _ in range(REPETITIONS):
        start = time.process_time()
        merge()
        times.append(time.process_time() - start)
    return median(times)


def compare_with_peft() -> None:
    """Print a row for each kind of merge."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    model = with_adapters()
    print(f"\n4 adapters of rank {RANK} at width {WIDTH}: CPU seconds, one thread")
    head = f"{'':<18}{'PEFT':>8}{'ours':>9}{'ratio':>9}{'asked':>7}"
    print(f"{head}{'with files':>12}{'difference':>13}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model.save_pretrained(folder)
        for kind, (strategy, parameters, asked) in CASES.items():
            own, files, mine = ours(folder, strategy, parameters)
            peer, other = theirs(model, kind, parameters)
            away = float((mine - other).norm() / other.norm())
            shown = f"{away:.1e}" if kind == "svd" else ""
            row = f"{peer:8.2f}{own:9.4f}{peer / own:8.0f}x{f'≥ {asked:g}':>7}"
            print(f"{kind:<18}{row}{files:12.4f}{shown:>13}", flush=True)


if __name__ == "__main__":
    compare_with_peft()
