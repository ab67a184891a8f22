"""How fast `ahl import` takes weights in, beside SHA-256 and a durable write of their bytes.

    python benchmarks/import_speed.py [--gigabytes 1.0] [--rounds 3] [--folder DIR]

A Llama of random 16-bit weights, and a LoRA of it made by PEFT, are imported from DIR into a
registry in DIR, a new one each round: a registry writes no bytes that it has. The peers are the two
things that an import cannot do without: hashing its bytes by ``hashlib``, and writing them to the
same disk with an fsync. All take turns, round by round. The ratio is that of the import to the
slower peer; 1 would be an import that costs nothing else. Of the adapter only its own bytes count,
though its base is hashed and loaded for it.
"""

import argparse
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from adapterhub_lite.api import open_registry
from adapterhub_lite.deployment import ImportChoices, import_folder
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.testing import write_tiny_model

HIDDEN, INNER, HEADS = 1024, 4096, 16
LAYER_BYTES = 2 * (4 * HIDDEN * HIDDEN + 3 * HIDDEN * INNER)
CHUNK = 2**22
RANK = 64


def write_model(folder: Path, gigabytes: float) -> Path:
    """Write a Llama of about so many bytes in bfloat16; return its weights' file."""
    layers = max(1, round(gigabytes * 1e9 / LAYER_BYTES))
    write_tiny_model(
        folder,
        "llama",
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
    )
    weights = folder / "model.safetensors"
    state = {name: value.to(torch.bfloat16) for name, value in load_file(weights).items()}
    save_file(state, weights, metadata={"format": "pt"})
    return weights


def write_adapter(base: Path, folder: Path) -> Path:
    """Write a LoRA of every linear layer, as PEFT does; return its weights' file."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    config = LoraConfig(r=RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(model, config).save_pretrained(folder)
    return folder / "adapter_model.safetensors"


def seconds_of(step: Callable[[], object]) -> float:
    """Return how long something takes."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def hash_file(file: Path) -> float:
    """Read a file and hash it; return the seconds."""
    with file.open("rb") as stream:
        return seconds_of(lambda: hashlib.file_digest(stream, "sha256"))


def write_file(source: Path, target: Path) -> float:
    """Write the bytes of a file anew, durably; return the seconds."""

    def write() -> None:
        with source.open("rb") as stream, target.open("wb") as out:
            while chunk := stream.read(CHUNK):
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())

    taken = seconds_of(write)
    target.unlink()
    return taken


def import_weights(folder: Path, home: Path, base: Path | None) -> float:
    """Publish a model or adapter in a new registry; return the seconds."""
    registry = open_registry(home)
    choices = ImportChoices(objective="causal-lm", base=str(base) if base else None)
    taken = seconds_of(
        lambda: import_folder(folder, "m", None, registry, get_catalogue(), choices=choices)
    )
    shutil.rmtree(home)
    return taken


def measure(file: Path, work: Path, rounds: int, base: Path | None = None) -> dict[str, float]:
    """Return bytes a second of each, the median of the rounds."""
    steps: dict[str, Callable[[], float]] = {
        "SHA-256": lambda: hash_file(file),
        "write and fsync": lambda: write_file(file, work / "copy"),
        "ahl import": lambda: import_weights(file.parent, work / "home", base),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            seconds[name].append(step())
    return {name: file.stat().st_size / median(taken) for name, taken in seconds.items()}


def report(title: str, file: Path, speeds: dict[str, float]) -> None:
    """Print bytes a second, and the ratio to the slower peer."""
    print(f"{title}, {file.stat().st_size / 1e6:,.0f} MB")
    for name, speed in speeds.items():
        print(f"  {name:<16} {speed / 1e6:8,.0f} MB/s")
    peer = min(speeds["SHA-256"], speeds["write and fsync"])
    print(f"  {'ratio':<16} {speeds['ahl import'] / peer:8.2f}")


def main() -> None:
    """Measure a model, and then an adapter of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as work:
        os.environ["TMPDIR"] = tempfile.tempdir = work  # staging is on the disk that is measured
        place = Path(work)
        model = write_model(place / "model", options.gigabytes)
        report("a model", model, measure(model, place, options.rounds))
        adapter = write_adapter(place / "model", place / "adapter")
        report("an adapter", adapter, measure(adapter, place, options.rounds, place / "model"))


if __name__ == "__main__":
    main()
