"""What HTTP costs, what batching gains, and whether a server keeps its answers under load.

    python benchmarks/serving_http.py [--part overhead|batching|load] [--seconds 300]

Servers are processes of their own on loopback, asked from this one. `overhead` asks a model that
does nothing, beside a bare FastAPI route with the same schema. `batching` asks a MiniLM-sized
encoder with eight LoRAs, with batches of one and of 32, and at half of the latter's load looks at
latencies. `load` holds each answer against the one that the same version gives alone, and looks at
the memory.
"""

import argparse
import contextlib
import http.client
import json
import multiprocessing
import os
import random
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

ADAPTERS = 8
SIZES = {
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
WORDS = ("the", "apple", "is", "sweet", "my", "heavy", "drill", "was", "rusty", "quiet", "flute")
LABELS = {"lost": 0.75, "late": 0.25}


def serve_bare(port: int) -> None:
    """Answer the same by FastAPI alone."""
    import uvicorn
    from fastapi import FastAPI

    from adapterhub_lite.serving.requests import ClassifyRequest
    from adapterhub_lite.serving.responses import Classification, ClassifyResponse

    app = FastAPI()

    # A model blocks, so a route that asks one is a plain function, which FastAPI runs on a thread.
    @app.post("/v1/classify")
    def classify(asked: ClassifyRequest) -> ClassifyResponse:
        one = Classification(
            index=0, label="lost", labels=["lost"], score=0.75, probabilities=LABELS
        )
        return ClassifyResponse(model=asked.model, data=[one])

    uvicorn.run(app, port=port, http="h11", loop="asyncio", access_log=False, log_level="warning")


def serve_nothing(port: int) -> None:
    """Serve a model that does nothing, with all that a server does around it."""
    from adapterhub_lite.predictions import Classified
    from adapterhub_lite_registry import ManifestDraft, Registry

    registry = Registry.open(Path(tempfile.mkdtemp()))
    draft = ManifestDraft(kind="adapter", task="text-classification")
    registry.publish("noop", {"file.txt": b"nothing"}, draft)
    answer = Classified("", ("lost",), LABELS)

    class Noop:
        def resolve(self, ref: str) -> str:
            return "noop@1"

        def predict(self, asked: Any) -> Any:
            return [answer] * len(asked)

        def loaded(self) -> dict[str, int]:
            return {}

    _run(Noop(), registry, ["noop"], port, 32)


def serve_adapters(port: int, home: str, batch: int) -> None:
    """Serve LoRAs."""
    import torch

    from adapterhub_lite import api
    from adapterhub_lite.inference.fleet import Fleet
    from adapterhub_lite.plugins import get_catalogue

    torch.set_num_threads(1)
    registry = api.open_registry(home)
    fleet = Fleet(registry, get_catalogue())
    for name in registry.names():
        fleet.predictor(name)
    _run(fleet, registry, registry.names(), port, batch)


def _run(fleet: Any, registry: Any, names: list[str], port: int, batch: int) -> None:
    from adapterhub_lite.serving.journal import log_as_json

    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        log_as_json()
        _answer(fleet, registry, names, port, batch)


def _answer(fleet: Any, registry: Any, names: list[str], port: int, batch: int) -> None:
    from adapterhub_lite.serving.access import Access
    from adapterhub_lite.serving.app import Application
    from adapterhub_lite.serving.limits import Limits
    from adapterhub_lite.serving.listening import listen
    from adapterhub_lite.serving.served import Served
    from adapterhub_lite.serving.server import run_worker

    limits = Limits(batch=batch, queue=10_000, requests=1000)
    access = Access(None, "127.0.0.1")
    application = Application(fleet, Served(fleet, registry, names), access=access, limits=limits)
    run_worker(application, limits, listen("127.0.0.1", port))


class Server:
    """A server in a process of its own."""

    def __init__(self, target: Callable[..., None], *args: Any) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=target, args=(self.port, *args), daemon=True)
        self.process.start()
        self.system = psutil.Process(self.process.pid)
        for _ in range(1200):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            time.sleep(0.1)
        raise RuntimeError("the server did not start")

    def cpu(self) -> float:
        """Return the seconds of CPU that it used."""
        times = self.system.cpu_times()
        return times.user + times.system

    def megabytes(self) -> float:
        """Return the memory that it holds."""
        return self.system.memory_info().rss / 1e6

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.join(30)


@contextlib.contextmanager
def server(target: Callable[..., None], *args: Any) -> Iterator[Server]:
    """Run a server for a block."""
    running = Server(target, *args)
    try:
        yield running
    finally:
        running.stop()


class Client:
    """A connection that stays open."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, model: str, text: str) -> tuple[int, Any, float]:
        """Return status, answer and seconds."""
        body = json.dumps({"model": model, "input": text})
        begun = time.perf_counter()
        self.connection.request("POST", "/v1/classify", body, {"content-type": "application/json"})
        response = self.connection.getresponse()
        data = response.read()
        return response.status, json.loads(data), time.perf_counter() - begun


def overhead(rounds: int = 10, each: int = 150) -> None:
    """Print a request's CPU and latency beside bare FastAPI's, in turns."""
    with server(serve_bare) as bare, server(serve_nothing) as ours:
        cpu, seconds = [0.0, 0.0], [[], []]  # type: tuple[list[float], list[list[float]]]
        for turn in range(rounds + 1):
            for number, one in enumerate((bare, ours)):
                client, before = Client(one.port), one.cpu()
                taken = [client.ask("noop", "my parcel")[2] for _ in range(each)]
                if turn:  # the first warms up
                    cpu[number] += one.cpu() - before
                    seconds[number] += taken
        per = [value / (rounds * each) * 1e6 for value in cpu]
        median = [statistics.median(values) * 1e6 for values in seconds]
        print(
            f"CPU a request      bare {per[0]:.0f} µs, ours {per[1]:.0f} µs: {per[1] / per[0]:.2f}×"
        )
        print(
            f"median of latency  bare {median[0]:.0f} µs, ours {median[1]:.0f} µs: "
            f"{median[1] / median[0]:.2f}×"
        )


def publish_adapters(home: Path, sizes: dict[str, int]) -> None:
    """Publish LoRAs of random numbers on one random base."""
    os.environ["ADAPTERHUB_LITE_HOME"] = str(home)
    from adapterhub_lite import api
    from adapterhub_lite.testing import write_tiny_model
    from adapterhub_lite.training.publish import publish_folder
    from adapterhub_lite_registry import ManifestDraft
    from tests.unit.inference.conftest import LABELS as NAMES
    from tests.unit.inference.conftest import _write

    base = write_tiny_model(home / "base", "bert", **sizes)
    for number in range(ADAPTERS):
        folder = home / "drawn" / f"lora-{number}"
        folder.mkdir(parents=True)
        method = {"name": "lora", "r": 8}
        info = _write(folder, method, {"name": "classification"}, NAMES, base)
        draft = ManifestDraft(kind="adapter", task=info.task)
        publish_folder(folder, folder.name, draft, api.open_registry(home))


def asked(rng: random.Random) -> tuple[str, str]:
    """Return a model and a text of 16 words."""
    return f"lora-{rng.randrange(ADAPTERS)}", " ".join(rng.choices(WORDS, k=16))


def hammer(
    port: int, clients: int, seconds: float, pause: float = 0.0
) -> list[tuple[str, str, int, Any, float]]:
    """Ask from many connections for a while; return what was asked, status, answer and seconds."""
    found: list[tuple[str, str, int, Any, float]] = []
    end = time.monotonic() + seconds

    def ask(seed: int) -> None:
        rng, client = random.Random(seed), Client(port)
        while time.monotonic() < end:
            row = asked(rng)
            found.append((*row, *client.ask(*row)))
            if pause:
                time.sleep(rng.expovariate(1 / pause))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def batching(seconds: float) -> None:
    """Print requests per CPU second with batches of one and of 32, and latencies at half load."""
    with tempfile.TemporaryDirectory() as place:
        publish_adapters(Path(place), SIZES)
        rates = {}
        for batch in (1, 32):
            with server(serve_adapters, place, batch) as running:
                hammer(running.port, 32, 2)
                before, begun = running.cpu(), time.monotonic()
                done = len(hammer(running.port, 32, seconds))
                wall = time.monotonic() - begun
                rates[batch] = done / (running.cpu() - before)
                print(
                    f"batch {batch:2}  {rates[batch]:.0f} requests a CPU second, "
                    f"{done / wall:.0f} a second"
                )
                if batch == 32:
                    pause = 2 * 32 * wall / done
                    taken = sorted(row[-1] for row in hammer(running.port, 32, seconds, pause))
                    rate = len(taken) / seconds
                    print(
                        f"half load ({rate:.0f} a second)  median {_at(taken, 0.5):.0f} ms, "
                        f"p99 {_at(taken, 0.99):.0f} ms; the deadline is 30000 ms"
                    )
        print(f"batching gains {rates[32] / rates[1]:.2f}×")


def _at(values: list[float], share: float) -> float:
    return values[int(share * (len(values) - 1))] * 1000


def load(seconds: float) -> None:
    """Print how many answers differ from the same version's alone, and the memory over time."""
    small = {"num_hidden_layers": 2}
    with tempfile.TemporaryDirectory() as place:
        publish_adapters(Path(place), small)
        from adapterhub_lite import api

        alone = {f"lora-{n}": api.load(f"lora-{n}") for n in range(ADAPTERS)}
        with server(serve_adapters, place, 32) as running:
            hammer(running.port, 16, min(10.0, seconds / 3))
            memory, wrong, failed, total = [running.megabytes()], 0, 0, 0
            for _ in range(5):
                found = hammer(running.port, 16, seconds / 5)
                memory.append(running.megabytes())
                total += len(found)
                failed += sum(row[2] != 200 for row in found)
                for model, text, status, answer, _ in random.sample(found, min(len(found), 400)):
                    (expected,) = alone[model].predict([text])
                    given = answer["data"][0]["probabilities"] if status == 200 else {}
                    record = expected.record()["probabilities"]
                    wrong += any(abs(given.get(k, 9) - v) > 1e-5 for k, v in record.items())
        shown = ", ".join(f"{value:.0f}" for value in memory)
        print(f"{total} requests: {failed} failed, {wrong} wrong; megabytes over time: {shown}")
        assert not wrong
        assert not failed


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=["overhead", "batching", "load"])
    parser.add_argument("--seconds", type=float, default=300, help="how long the load lasts")
    options = parser.parse_args()
    if options.part in (None, "overhead"):
        overhead()
    if options.part in (None, "batching"):
        batching(min(options.seconds, 20))
    if options.part in (None, "load"):
        load(options.seconds)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
