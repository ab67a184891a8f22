"""A server on loopback: uvicorn on a thread, a registry of its own, and a model that is none."""

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx

from adapterhub_lite.errors import AdapterHubError
from adapterhub_lite.inference.fleet import Asked
from adapterhub_lite.predictions import Classified, Embedded, Generated, Prediction, Several
from adapterhub_lite.serving.access import Access
from adapterhub_lite.serving.app import Application
from adapterhub_lite.serving.journal import RequestLog
from adapterhub_lite.serving.limits import Limits
from adapterhub_lite.serving.listening import listen
from adapterhub_lite.serving.served import Served
from adapterhub_lite.serving.server import DrainingServer
from adapterhub_lite_registry import ManifestDraft, Registry, Signature

TASKS = {
    "tickets": "text-classification",
    "chat": "text-generation",
    "embed": "sentence-similarity",
    "secret": "text-classification",
}


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def publish(registry: Registry, name: str, task: str | None = None) -> str:
    """Publish a version with nothing in it."""
    draft = ManifestDraft(
        kind="adapter",
        task=task or TASKS[name],
        description="<b>bold</b>",
        signature=Signature(inputs=("text",), labels=("late", "lost")),
    )
    return str(registry.publish(name, {"file.txt": b"nothing"}, draft))


def answer(asked: Asked) -> Prediction:
    """Return what the stand-in answers: it depends on version and input alone."""
    text = asked.input if isinstance(asked.input, str) else str(asked.input)
    share = (sum(map(ord, asked.ref + text)) % 89 + 10) / 200
    if asked.ref.startswith("tickets"):
        return Classified(text, ("lost",), {"lost": 1 - share, "late": share})
    if asked.ref.startswith("all"):
        names = {"topic": "tickets", "near": "embed"}
        answers = {name: answer(Asked(ref=ref, input=text)) for name, ref in names.items()}
        return Several(text, answers)
    if asked.ref.startswith("embed"):
        return Embedded(text, (share, 0.5, -0.25), read=len(text.split()))
    most = asked.options.max_new_tokens if asked.options else None
    words = [f"{asked.ref}:{number}" for number in range(most or 4)]
    return Generated(text, " ".join(words), "length" if most else "stop", 3, len(words))


@dataclass
class Writer:
    """A stand-in that writes a word at a time."""

    fleet: "FakeFleet"
    ref: str

    def member(self, name: str) -> "Writer":
        """Return a member's."""
        return Writer(self.fleet, f"{self.ref}/{name}")

    def stream(self, asked: Any, options: Any) -> Generator[str, None, Generated]:
        """Yield words."""
        whole = answer(Asked(ref=self.ref, input=asked, options=options))
        assert isinstance(whole, Generated)
        try:
            for number, word in enumerate(whole.text.split(" ")):
                time.sleep(self.fleet.pause)
                self.fleet.pieces += 1
                if word == self.fleet.breaks_at:
                    raise RuntimeError("secret reason")
                yield word if number == 0 else f" {word}"
        finally:
            self.fleet.closed += 1
        return whole


@dataclass
class FakeFleet:
    """Answers at once, or when ``gate`` is set; keeps the batches that it was asked."""

    registry: Registry
    pause: float = 0.0
    gate: threading.Event = field(default_factory=threading.Event)
    batches: list[list[Asked]] = field(default_factory=list)
    fails: dict[str, Exception] = field(default_factory=dict)
    breaks_at: str = ""
    pieces: int = 0
    closed: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    def resolve(self, ref: str) -> str:
        """Look the reference up in the registry."""
        return str(self.registry.resolve(ref))

    def predictor(self, ref: str) -> Writer:
        """Return what writes."""
        if ref in self.fails:
            raise self.fails[ref]
        return Writer(self, ref)

    def predict(self, asked: Sequence[Asked]) -> list[Prediction | AdapterHubError]:
        """Answer rows; one of ``fails`` is returned where it is the project's, else raised."""
        self.batches.append(list(asked))
        self.gate.wait()
        time.sleep(self.pause)
        return [self._one(row) for row in asked]

    def _one(self, row: Asked) -> Prediction | AdapterHubError:
        error = self.fails.get(row.ref) or self.fails.get(str(row.input))
        if isinstance(error, AdapterHubError):
            return error
        if error is not None:
            raise error
        return answer(row)

    def loaded(self) -> Mapping[str, int]:
        """Return one version."""
        return {"tickets@1": 1000}


@dataclass
class Running:
    """A server that runs, and a client of it."""

    url: str
    client: httpx.Client
    application: Application
    fleet: FakeFleet
    server: DrainingServer
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread

    def post(self, path: str, body: Any, **more: Any) -> httpx.Response:
        """Send JSON."""
        return self.client.post(path, json=body, **more)

    def classify(self, text: Any, model: str = "tickets", **more: Any) -> httpx.Response:
        """Ask for labels."""
        return self.post("/v1/classify", {"model": model, "input": text}, **more)

    def drain(self) -> None:
        """Tell the server to stop."""
        self.loop.call_soon_threadsafe(self.server.begin_drain, "test")

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)


@contextmanager
def running(
    registry: Registry,
    fleet: FakeFleet | None = None,
    *,
    refs: Sequence[str] = ("tickets", "chat", "embed"),
    alias: str | None = None,
    access: Access | None = None,
    request_log: RequestLog | None = None,
    **limits: Any,
) -> Iterator[Running]:
    """Run a server for as long as the block takes."""
    bounds = Limits(**{"grace": 5.0, **limits})
    fleet = fleet or FakeFleet(registry)
    served = Served(fleet, registry, refs, alias)
    application = Application(
        fleet,
        served,
        access=access or Access(None, "127.0.0.1"),
        limits=bounds,
        request_log=request_log,
    )
    listener = listen("127.0.0.1", 0)
    server = DrainingServer(application, bounds)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(server.serve(sockets=[listener])), daemon=True
    )
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread.start()
    with httpx.Client(base_url=url, timeout=20) as client:
        try:
            yield Running(url, client, application, fleet, server, loop, thread)
        finally:
            fleet.gate.set()
            server.should_exit = True
            thread.join(10)
            loop.close()
            assert application.service.batcher.stop(5)
