"""What HTTP costs, what batching gains, and whether a server keeps its answers under load.

    python benchmarks/serving_http.py [--part overhead|batching|load] [--seconds 300]

Servers are processes of their own on loopback, asked from this one. `overhead` asks a model that
does nothing, beside a bare FastAPI route with the same schema: a plain function, which FastAPI runs
on a thread since a model blocks, and one in the event loop, which asks nobody. `batching` asks a
MiniLM-sized encoder with eight LoRAs, with batches of one and of 32, and at half of the latter's
load looks at latencies. `load` holds each answer against the one that the same version gives alone,
and looks at the memory.
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
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from adapterhub_lite.serving.limits import Limits

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

ADAPTERS = 8
WAIT = 0.005
"""Seconds that a batch waits for more inputs: clients that were answered together ask again."""
IDLE = 3.0
"""Seconds after which a connection is opened anew; uvicorn closes an idle one after 5."""
SIZES = {
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
WORDS = ("the", "apple", "is", "sweet", "my", "heavy", "drill", "was", "rusty", "quiet", "flute")
LABELS = {"lost": 0.75, "late": 0.25}


def serve_bare(port: int, *, in_loop: bool) -> None:
    """Answer the same by FastAPI alone, in its event loop or on a thread."""
    import uvicorn
    from fastapi import FastAPI

    from adapterhub_lite.serving.requests import ClassifyRequest
    from adapterhub_lite.serving.responses import Classification, ClassifyResponse

    app = FastAPI()

    def blocking(asked: ClassifyRequest) -> ClassifyResponse:
        one = Classification(
            index=0, label="lost", labels=["lost"], score=0.75, probabilities=LABELS
        )
        return ClassifyResponse(model=asked.model, data=[one])

    async def looping(asked: ClassifyRequest) -> ClassifyResponse:
        return blocking(asked)

    app.post("/v1/classify")(looping if in_loop else blocking)
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

    _run(Noop(), registry, ["noop"], port, Limits())


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
    limits = Limits(batch=batch, queue=10_000, requests=1000, max_wait=WAIT)
    _run(fleet, registry, registry.names(), port, limits)


def _run(fleet: Any, registry: Any, names: list[str], port: int, limits: Limits) -> None:
    from adapterhub_lite.serving.journal import log_as_json

    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        log_as_json()
        _answer(fleet, registry, names, port, limits)


def _answer(fleet: Any, registry: Any, names: list[str], port: int, limits: Limits) -> None:
    from adapterhub_lite.serving.access import Access
    from adapterhub_lite.serving.app import Application
    from adapterhub_lite.serving.listening import listen
    from adapterhub_lite.serving.served import Served
    from adapterhub_lite.serving.server import run_worker

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
    """A connection that stays open, unless it is idle for so long that the server closes it."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.used = time.monotonic()
        self._connect()

    def _connect(self) -> None:
        self.connection.close()
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, model: str, text: str) -> tuple[int, Any, float]:
        """Return status, answer and seconds."""
        body = json.dumps({"model": model, "input": text})
        if time.monotonic() - self.used > IDLE:
            self._connect()
        begun = time.perf_counter()
        self.connection.request("POST", "/v1/classify", body, {"content-type": "application/json"})
        response = self.connection.getresponse()
        data = response.read()
        self.used = time.monotonic()
        return response.status, json.loads(data), time.perf_counter() - begun


def overhead(rounds: int = 10, each: int = 150) -> None:
    """Print a request's CPU and latency beside bare FastAPI's, in turns."""
    with contextlib.ExitStack() as stack:
        ways: dict[str, Callable[..., None]] = {
            "ours": serve_nothing,
            "FastAPI, on a thread": partial(serve_bare, in_loop=False),
            "FastAPI, in the loop": partial(serve_bare, in_loop=True),
        }
        servers = {name: stack.enter_context(server(way)) for name, way in ways.items()}
        cpu: dict[str, float] = dict.fromkeys(ways, 0.0)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(rounds + 1):
            for name, one in servers.items():
                client, before = Client(one.port), one.cpu()
                taken = [client.ask("noop", "my parcel")[2] for _ in range(each)]
                if turn:  # the first warms up
                    cpu[name] += (one.cpu() - before) / (rounds * each) * 1e6
                    seconds[name] += taken
        median = {name: statistics.median(values) * 1e6 for name, values in seconds.items()}
        for name in ways:
            print(
                f"{name:20}  CPU {cpu[name]:5.0f} µs (ours {cpu['ours'] / cpu[name]:.2f}×), "
                f"median {median[name]:5.0f} µs (ours {median['ours'] / median[name]:.2f}×)"
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


def batching(seconds: float, rounds: int = 4) -> None:
    """Print requests per CPU second with batches of one and of 32, in turns; then at half load."""
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory())
        publish_adapters(Path(place), SIZES)
        servers = {n: stack.enter_context(server(serve_adapters, place, n)) for n in (1, 32)}
        done, cpu, wall = (dict.fromkeys(servers, 0.0) for _ in range(3))
        for turn in range(rounds + 1):
            for batch, one in servers.items():
                before, begun = one.cpu(), time.monotonic()
                found = hammer(one.port, 32, seconds / rounds if turn else 2)
                if turn:  # the first warms up
                    done[batch] += len(found)
                    cpu[batch] += one.cpu() - before
                    wall[batch] += time.monotonic() - begun
        for n in servers:
            per_second = f"{done[n] / cpu[n]:.0f} requests a CPU second, {done[n] / wall[n]:.0f}"
            print(f"batch {n:2}  {per_second} a second")
        print(f"batching gains {done[32] / cpu[32] / (done[1] / cpu[1]):.2f}×")
        found = hammer(servers[32].port, 32, seconds, pause=2 * 32 * wall[32] / done[32])
        taken = sorted(row[-1] for row in found)
        print(
            f"half load ({len(taken) / seconds:.0f} a second)  median {_at(taken, 0.5):.0f} ms, "
            f"p99 {_at(taken, 0.99):.0f} ms; the deadline is 30000 ms"
        )


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
