"""How fast the registry is with very many versions, and what a publish costs.

    python benchmarks/registry.py [--versions 100000]

The versions are published without syncs, to have them in minutes; all figures are taken after.
"""

import argparse
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from adapterhub_lite_registry import (
    Base,
    Component,
    Dataset,
    FileIO,
    ManifestDraft,
    Metric,
    Registry,
    Signature,
)
from adapterhub_lite_registry.io import StrPath

METHODS = ["lora", "dora", "prefix", "ia3", "full", "bottleneck", "prompt", "vera"]
TASKS = ["text-classification", "token-classification", "generation", "similarity"]
PER_NAME = 100


class UnsyncedIO(FileIO):
    """A disk that promises durability and does nothing for it."""

    def fsync(self, fd: int) -> None:
        pass

    def fsync_dir(self, path: StrPath) -> None:
        pass


class CountingIO(FileIO):
    """A disk that counts the syncs asked of it."""

    syncs = 0

    def fsync(self, fd: int) -> None:
        self.syncs += 1
        super().fsync(fd)

    def fsync_dir(self, path: StrPath) -> None:
        self.syncs += 1
        super().fsync_dir(path)


def draft(rng: random.Random) -> ManifestDraft:
    """Return a manifest like those of trained adapters."""
    accuracy = rng.betavariate(8, 2)
    return ManifestDraft(
        kind="adapter",
        description=f"adapter for customer {rng.randrange(10_000)}",
        task=rng.choice(TASKS),
        base=Base(ref=f"org/base-{rng.randrange(50)}", weights_sha256=f"{rng.randrange(50):064x}"),
        method=Component(name=rng.choice(METHODS), plugin="adapterhub-lite", plugin_version="0.1"),
        hyperparameters={"r": 8, "alpha": 16, "learning_rate": 2e-4, "epochs": 3},
        seed=rng.randrange(2**31),
        dataset=Dataset(id=f"rows-{rng.randrange(500)}", rows=rng.randrange(100, 10_000)),
        metrics=[
            Metric(name="accuracy", value=accuracy, split="test", n=500, ci=(accuracy - 0.02, 1.0)),
            Metric(name="f1", value=accuracy - 0.01, split="test"),
            Metric(name="loss", value=1 - accuracy, split="test"),
        ],
        signature=Signature(inputs=["text"], labels=[f"label{n}" for n in range(8)]),
    )


def fill(home: Path, count: int) -> None:
    """Publish ``count`` versions, a hundred to a name."""
    registry = Registry.open(home, io=UnsyncedIO())
    rng = random.Random(7)
    for number in range(count):
        config = {"adapter_config.json": b'{"r": %d}' % (number % 1000)}
        registry.publish(f"adapter-{number // PER_NAME:05d}", config, draft(rng))


def timed(question: Callable[[], object], repeats: int) -> str:
    """Return median and 99th percentile of a question's time."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        question()
        times.append((time.perf_counter() - start) * 1000)
    cuts = statistics.quantiles(times, n=100)
    return f"p50 {cuts[49]:8.2f} ms   p99 {cuts[98]:8.2f} ms"


def measure_questions(registry: Registry, count: int) -> None:
    """Print how long lookups and searches take."""
    rng = random.Random(11)
    names = [f"adapter-{number:05d}" for number in range(count // PER_NAME)]

    def base() -> str:
        return f"org/base-{rng.randrange(50)}"

    questions: dict[str, Callable[[], object]] = {
        "resolve name@number": lambda: registry.resolve(
            f"{rng.choice(names)}@{rng.randrange(1, PER_NAME)}"
        ),
        "resolve name (newest)": lambda: registry.resolve(rng.choice(names)),
        "search name": lambda: registry.search(name=rng.choice(names), limit=50),
        "search base, method, task": lambda: registry.search(
            base=base(), method=rng.choice(METHODS), task=rng.choice(TASKS), limit=50
        ),
        "best accuracy of a base": lambda: registry.search(
            base=base(), metric="accuracy>=0.8", sort="-accuracy", limit=20
        ),
        "best accuracy of all": lambda: registry.search(sort="-accuracy", limit=20),
        "best of base, method, task": lambda: registry.search(
            base=base(),
            method=rng.choice(METHODS),
            task=rng.choice(TASKS),
            metric="accuracy>=0.9",
            sort="-accuracy",
            limit=20,
        ),
        "newest of a task": lambda: registry.search(task=rng.choice(TASKS), limit=50),
        "words": lambda: registry.search(f"customer {rng.randrange(10_000)}", limit=50),
        "versions of a name": lambda: registry.search(name=rng.choice(names), sort="-number"),
    }
    for title, question in questions.items():
        print(f"{title:<28}{timed(question, 300)}")
    newest = timed(lambda: registry.search(latest_only=True, sort="name"), 30)
    print(f"{'newest of every name':<28}{newest}")


def measure_gc(registry: Registry, removed: int) -> None:
    """Print what a collection computes: to see, of removed versions' files, and of nothing."""
    for number in range(removed):
        registry.remove(f"adapter-{number:05d}@1")
    for title, dry_run in (("gc --dry-run", True), ("gc", False), ("gc of nothing", False)):
        start = time.process_time()
        report = registry.gc(grace=0, dry_run=dry_run)
        taken = time.process_time() - start
        print(f"{title}: {taken:.1f} s of processor time, {report.moved.files:,} files")


def measure_publish(home: Path) -> None:
    """Print syncs and rate of publishing three small files to an existing name."""
    io = CountingIO()
    registry = Registry.open(home, io=io)
    rng = random.Random(3)
    registry.publish("adapter", {"a.json": b"{}"}, draft(rng))
    io.syncs, rounds = 0, 200
    start = time.perf_counter()
    for number in range(rounds):
        files = {f"{part}.json": b"[%d, %d]" % (number, part) for part in range(3)}
        registry.publish("adapter", files, draft(rng))
    rate = rounds / (time.perf_counter() - start)
    print(f"publish, three small files: {io.syncs / rounds:.1f} syncs, {rate:.0f} per second")


def main() -> None:
    """Run everything in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=100_000)
    count = parser.parse_args().versions
    folder = Path(tempfile.mkdtemp(prefix="registry-benchmark-"))
    try:
        measure_publish(folder / "publish")
        start = time.perf_counter()
        fill(folder / "large", count)
        print(f"generated {count:,} versions in {time.perf_counter() - start:.0f} s")
        registry = Registry.open(folder / "large")
        start = time.perf_counter()
        registry.reindex()
        print(f"reindex: {time.perf_counter() - start:.1f} s")
        size = (registry.home / "index.db").stat().st_size
        print(f"index: {size / 1e6:.0f} MB")
        measure_questions(registry, count)
        measure_gc(Registry.open(folder / "large", io=UnsyncedIO()), min(100, count // PER_NAME))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
