"""A thousand adapters behind one server, of which 64 fit into memory, and an alias that moves.

    python benchmarks/serving_many.py [--adapters 1000] [--hot 64] [--seconds 60]

Nine of ten requests ask one of the hot adapters, the tenth any: it is loaded then, and another is
dropped. One name has eight versions, and its alias moves from one to the next all the time. Every
answer is held against the one that the version which it names gives alone.
"""

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

CLIENTS, DRAWN = 8, 8
TEXTS = ("the apple is sweet", "my heavy drill was rusty", "the quiet flute")
Seen = tuple[str, int, Any, str]
"""What was asked, status and body of the answer, the text."""


def publish(home: Path, adapters: int) -> dict[str, int]:
    """Publish so many names, and one with several versions; return which drawn adapter each is."""
    from adapterhub_lite import api
    from adapterhub_lite.training.publish import publish_folder
    from adapterhub_lite_registry import ManifestDraft
    from benchmarks.serving_http import publish_adapters

    publish_adapters(home, {"num_hidden_layers": 2})
    draft = ManifestDraft(kind="adapter", task="text-classification")
    registry, drawn = api.open_registry(home), {}
    for number in range(adapters + DRAWN):
        name = f"many-{number}" if number < adapters else "moving"
        folder = home / "drawn" / f"lora-{number % DRAWN}"
        drawn[str(publish_folder(folder, name, draft, registry))] = number % DRAWN
    registry.set_alias("moving", "prod", 1)
    return drawn


def ask(server: Any, end: float, seed: int, adapters: int, hot: int) -> list[Seen]:
    """Ask as one client does, until the end."""
    rng, seen = random.Random(seed), []
    while time.monotonic() < end:
        number = rng.randrange(hot if rng.random() < 0.9 else adapters)
        model = "moving@prod" if rng.random() < 0.1 else f"many-{number}"
        text = rng.choice(TEXTS)
        found = server.classify(text, model)
        seen.append((model, found.status_code, found.json(), text))
    return seen


def move(registry: Any, end: float) -> int:
    """Move the alias until the end; return how often."""
    moves = 0
    while time.monotonic() < end:
        moves += 1
        registry.set_alias("moving", "prod", moves % DRAWN + 1)
        time.sleep(0.05)
    return moves


def main() -> None:
    """Serve, ask, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--adapters", type=int, default=1000)
    parser.add_argument("--hot", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        run(Path(place), options.adapters, options.hot, options.seconds)


def run(home: Path, adapters: int, hot: int, seconds: float) -> None:
    """Serve and ask for so many seconds; exits with 1 where a request failed or was wrong."""
    drawn = publish(home, adapters)
    from adapterhub_lite import api
    from adapterhub_lite.inference.fleet import Fleet
    from adapterhub_lite.plugins import get_catalogue
    from tests.integration.test_serving import serving

    registry = api.open_registry(home)
    alone = [api.load(f"lora-{number}") for number in range(DRAWN)]
    expected = {(n, text): one.predict([text])[0] for n, one in enumerate(alone) for text in TEXTS}
    measured = Fleet(registry, get_catalogue())
    measured.predictor("many-0")
    most = hot * max(measured.loaded().values())
    fleet = Fleet(registry, get_catalogue(), most_bytes=most)
    served = [f"many-{number}" for number in range(adapters)] + ["moving"]
    memory, held = [], []
    with serving(*served, fleet=fleet) as server, ThreadPoolExecutor(CLIENTS + 1) as pool:
        end = time.monotonic() + seconds
        moved = pool.submit(move, registry, end)
        clients = [pool.submit(ask, server, end, n, adapters, hot) for n in range(CLIENTS)]
        while time.monotonic() < end:
            memory.append(psutil.Process().memory_info().rss / 1e6)
            held.append(len(fleet.loaded()))
            threading.Event().wait(seconds / 6)
        seen = [one for client in clients for one in client.result()]
    failed = [(model, status) for model, status, _, _ in seen if status != 200]
    wrong = sum(
        abs(share - answer["data"][0]["probabilities"][label]) > 1e-5
        for _, status, answer, text in seen
        if status == 200
        for label, share in expected[drawn[answer["model"]], text].record()["probabilities"].items()
    )
    versions = len({answer["model"] for _, status, answer, _ in seen if status == 200})
    print(f"{len(seen)} requests to {versions} versions: {len(failed)} failed, {wrong} wrong")
    print(f"{moved.result()} moves of the alias; at most {max(held)} versions in memory")
    print("megabytes over time:", ", ".join(f"{value:.0f}" for value in memory))
    if failed or wrong:
        raise SystemExit(f"failed: {failed[:5]}, wrong: {wrong}")


if __name__ == "__main__":
    main()
