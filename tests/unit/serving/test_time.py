"""What depends on when: batches, deadlines, clients that leave or are slow, the end."""

import asyncio
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from adapterhub_lite.inference.fleet import Asked
from adapterhub_lite.serving.batching import Batcher
from adapterhub_lite.serving.limits import Limits
from adapterhub_lite.serving.work import Job
from adapterhub_lite_registry import Registry
from tests.unit.serving.running import FakeFleet, Running, running, until
from tests.unit.serving.test_answers import error_of

CHAT: dict[str, Any] = {"model": "chat", "prompt": "hi", "max_tokens": 20}


class Held:
    """A model that is held up in its first batch, and requests that wait behind it."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.threads = ThreadPoolExecutor(32)
        server.fleet.gate.clear()
        self.first = self.ask("first")
        until(lambda: len(server.fleet.batches) == 1)

    def ask(self, text: Any) -> "Future[Any]":
        """Ask on another thread, and return when it is queued."""
        return self.threads.submit(self.server.classify, text)

    def queued(self, number: int) -> None:
        """Wait until so many inputs wait."""
        until(lambda: self.server.application.service.batcher.waiting == number)

    def release(self) -> None:
        """Let the model go on."""
        self.server.fleet.gate.set()


@pytest.fixture
def fleet(registry: Registry) -> FakeFleet:
    return FakeFleet(registry)


def test_what_waits_is_computed_together_up_to_a_size(registry: Registry, fleet: FakeFleet) -> None:
    with running(registry, fleet, batch=8) as server:
        held = Held(server)
        waiting = [held.ask(f"text {number}") for number in range(10)]
        held.queued(10)
        held.release()
        scores = [one.result().json()["data"][0]["score"] for one in waiting]
        alone = [server.classify(f"text {n}").json()["data"][0]["score"] for n in range(10)]
    assert [len(batch) for batch in fleet.batches[:3]] == [1, 8, 2]
    assert scores == alone


def test_a_request_with_many_inputs_does_not_hold_up_one_with_few(
    registry: Registry, fleet: FakeFleet
) -> None:
    with running(registry, fleet, batch=4) as server:
        held = Held(server)
        many = held.ask([f"many {number}" for number in range(6)])
        held.queued(6)
        few = held.ask("few")
        held.queued(7)
        held.release()
        assert few.result().status_code == many.result().status_code == 200
    assert "few" in [row.input for row in fleet.batches[1]]


def test_inputs_that_nobody_waits_for_are_not_computed(
    registry: Registry, fleet: FakeFleet
) -> None:
    with running(registry, fleet, timeout=0.5) as server:
        held = Held(server)
        late = held.ask(["late", "late too"])
        response = late.result()
        assert (response.status_code, error_of(response)["code"]) == (504, "deadline_exceeded")
        assert held.first.result().status_code == 504
        held.release()
        assert server.classify("x").status_code == 200
        assert server.application.service.batcher.waiting == 0
    assert [row.input for batch in fleet.batches for row in batch] == ["first", "x"]


def test_inputs_whose_time_is_over_are_not_computed_though_somebody_waits(
    registry: Registry, fleet: FakeFleet
) -> None:
    async def computed() -> None:
        loop, rows = asyncio.get_running_loop(), [Asked(ref="tickets@1", input="x")]
        over = Job(rows, "read", time.monotonic() - 1, loop)
        right = Job(rows, "read", time.monotonic() + 20, loop)
        for job in (over, right):
            batcher.submit(job)
        batcher.start()
        await right.done
        assert not over.done.done()

    batcher = Batcher(fleet, Limits(), lambda rows, seconds: None)
    asyncio.run(computed())
    assert batcher.stop(5)
    assert [len(batch) for batch in fleet.batches] == [1]


def test_a_client_that_leaves_takes_its_inputs_with_it(
    registry: Registry, fleet: FakeFleet
) -> None:
    with running(registry, fleet) as server:
        held = Held(server)
        body = b'{"model": "tickets", "input": "gone"}'
        with socket.create_connection(server.address) as client:
            client.sendall(request("/v1/classify", body))
            held.queued(1)
        until(lambda: server.application.guard.active == 1)
        held.release()
        assert held.first.result().status_code == 200
        assert server.classify("x").status_code == 200
        figures = server.client.get("/metrics").text
    assert "gone" not in [row.input for batch in fleet.batches for row in batch]
    assert 'adapterhub_errors_total{code="client_gone",version="tickets@1"} 1.0' in figures


def test_too_much_that_waits_is_refused(registry: Registry, fleet: FakeFleet) -> None:
    with running(registry, fleet, queue=2) as server:
        held = Held(server)
        waiting = [held.ask("a"), held.ask("b")]
        held.queued(2)
        response = server.classify("c")
        assert (response.status_code, error_of(response)["code"]) == (429, "queue_full")
        assert int(response.headers["retry-after"]) >= 1
        held.release()
        assert [one.result().status_code for one in waiting] == [200, 200]
        assert server.classify("c").status_code == 200


def test_too_many_requests_are_refused_but_not_probes(registry: Registry, fleet: FakeFleet) -> None:
    with running(registry, fleet, requests=1) as server:
        held = Held(server)
        response = server.classify("b")
        assert (response.status_code, error_of(response)["code"]) == (429, "too_many_requests")
        assert server.client.get("/ready").status_code == 200
        held.release()
        assert held.first.result().status_code == 200


def test_a_stream_holds_nobody_up(registry: Registry) -> None:
    fleet = FakeFleet(registry, pause=0.02)
    with running(registry, fleet) as server, ThreadPoolExecutor(1) as other:
        stream = other.submit(server.post, "/v1/completions", CHAT | {"stream": True})
        until(lambda: fleet.pieces > 0)
        assert server.classify("x").status_code == 200
        assert fleet.pieces < 20
        assert stream.result().text.endswith("data: [DONE]\n\n")


def test_a_stream_that_nobody_reads_is_closed(registry: Registry) -> None:
    fleet = FakeFleet(registry, pause=0.02)
    with running(registry, fleet) as server:
        with server.client.stream("POST", "/v1/completions", json=CHAT | {"stream": True}) as got:
            next(got.iter_lines())
        until(lambda: fleet.closed == 1)
        assert fleet.pieces < 20


def test_a_stream_ends_at_the_deadline(registry: Registry) -> None:
    fleet = FakeFleet(registry, pause=0.1)
    with running(registry, fleet, timeout=1.0) as server:
        text = server.post("/v1/completions", CHAT | {"stream": True}).text
        assert "deadline_exceeded" in text
        assert "[DONE]" not in text
        until(lambda: fleet.closed == 1)


def request(path: str, body: bytes, length: int | None = None) -> bytes:
    """Return a request as bytes."""
    size = len(body) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {size}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"", b""),
        (b"POST /v1/classify HTTP/1.1\r\nhost: loc", b""),
        (request("/v1/classify", b'{"model"', 100), b"body_too_slow"),
    ],
    ids=["nothing", "half of the headers", "half of the body"],
)
def test_a_slow_client_is_given_up(registry: Registry, sent: bytes, answered: bytes) -> None:
    with running(registry, read_timeout=0.2) as server:
        with socket.create_connection(server.address, timeout=5) as client:
            client.sendall(sent)
            received = b""
            try:
                while part := client.recv(4096):
                    received += part
            except ConnectionResetError:
                pass
        assert answered in received
        assert server.classify("x").status_code == 200
        until(lambda: server.application.guard.active == 0)


def test_a_client_that_takes_no_answer_is_given_up(registry: Registry) -> None:
    with running(
        registry, read_timeout=0.3, inputs=20_000, body_bytes=1 << 22, queue=50_000
    ) as server:
        body = b'{"model": "tickets", "input": [' + b",".join([b'"x"'] * 20_000) + b"]}"
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(server.address)
            client.sendall(request("/v1/classify", body))
            until(lambda: not server.server.server_state.connections)
        assert server.classify("x").status_code == 200


def test_a_server_that_stops_finishes_what_was_asked(registry: Registry, fleet: FakeFleet) -> None:
    with running(registry, fleet) as server:
        held = Held(server)
        waiting = held.ask("waiting")
        held.queued(1)
        server.drain()
        until(lambda: not server.application.ready)
        response = server.classify("new")
        assert (response.status_code, error_of(response)["code"]) == (503, "draining")
        assert server.client.get("/ready").status_code == 503
        assert server.client.get("/health").status_code == 200
        held.release()
        assert held.first.result().status_code == waiting.result().status_code == 200
        server.thread.join(10)
        assert not server.thread.is_alive()


def test_a_server_that_stops_waits_no_longer_than_its_grace(
    registry: Registry, fleet: FakeFleet
) -> None:
    with running(registry, fleet, grace=0.2) as server:
        held = Held(server)
        server.drain()
        response = held.first.result(5)
        assert (response.status_code, error_of(response)["code"]) == (503, "draining")
        server.thread.join(10)
        assert not server.thread.is_alive()
