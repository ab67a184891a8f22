"""How fast `ahl import` takes a whole model in, beside SHA-256 and a durable write of its bytes.

    python benchmarks/import_speed.py [--gigabytes 1.0] [--rounds 3] [--folder DIR]

A Llama of random 16-bit weights is imported from DIR into a registry in DIR, a new one each round:
a registry writes no bytes that it has. The peers are the two things that an import cannot do
without: hashing its bytes by ``hashlib``, and writing them to the same disk with an fsync. All take
turns, round by round. The ratio is that of the import to the slower peer; 1 would be an import that
costs nothing else.
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
from safetensors.torch import load_file, save_file

from adapterhub_lite.api import open_registry
from adapterhub_lite.deployment import ImportChoices, import_folder
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.testing import write_tiny_model

HIDDEN, INNER, HEADS = 1024, 4096, 16
LAYER_BYTES = 2 * (4 * HIDDEN * HIDDEN + 3 * HIDDEN * INNER)
CHUNK = 2**22


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


def hash_file(file: Path) -> None:
    """Read a file and hash it."""
    with file.open("rb") as stream:
        hashlib.file_digest(stream, "sha256")


def write_file(source: Path, target: Path) -> None:
    """Write the bytes of a file anew, durably, and remove them."""
    with source.open("rb") as stream, target.open("wb") as out:
        while chunk := stream.read(CHUNK):
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    target.unlink()


def import_model(folder: Path, home: Path) -> None:
    """Publish the model in a new registry, and remove that."""
    choices = ImportChoices(objective="causal-lm")
    import_folder(folder, "m", None, open_registry(home), get_catalogue(), choices=choices)
    shutil.rmtree(home)


def measure(work: Path, gigabytes: float, rounds: int) -> dict[str, float]:
    """Return bytes a second of each, the median of the rounds."""
    file = write_model(work / "model", gigabytes)
    steps: dict[str, Callable[[], None]] = {
        "SHA-256": lambda: hash_file(file),
        "write and fsync": lambda: write_file(file, work / "copy"),
        "ahl import": lambda: import_model(work / "model", work / "home"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    return {name: file.stat().st_size / median(taken) for name, taken in seconds.items()}


def main() -> None:
    """Print bytes a second, and the ratio to the slower peer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as work:
        os.environ["TMPDIR"] = tempfile.tempdir = work  # staging is on the disk that is measured
        speeds = measure(Path(work), options.gigabytes, options.rounds)
    for name, speed in speeds.items():
        print(f"{name:<16} {speed / 1e6:8,.0f} MB/s")
    peer = min(speeds["SHA-256"], speeds["write and fsync"])
    print(f"{'ratio':<16} {speeds['ahl import'] / peer:8.2f}")


if __name__ == "__main__":
    main()
