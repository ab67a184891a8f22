"""Real adapters behind HTTP, and the server's process: it is killed, and told to stop."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest

from adapterhub_lite import api
from adapterhub_lite.inference.fleet import Fleet
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite_registry import Registry
from tests.unit.inference.conftest import Bases, Publish, bases, close, publish  # noqa: F401
from tests.unit.serving.running import FakeFleet, Running, running
from tests.unit.serving.running import publish as publish_empty

TEXTS = ("the apple is sweet", "a heavy drill", "that quiet flute and the violin", "plum")


@contextlib.contextmanager
def serving(*refs: str, fleet: Fleet | None = None, **limits: Any) -> Iterator[Running]:
    """Serve versions of the test's registry."""
    registry = api.open_registry()
    fleet = fleet or Fleet(registry, get_catalogue())
    with running(registry, _Counted(fleet, registry), refs=refs, **limits) as server:
        yield server


class _Counted(FakeFleet):
    """A real fleet, whose batches are counted."""

    def __init__(self, real: Fleet, registry: Registry) -> None:
        super().__init__(registry)
        self.real = real
        self.predictor = real.predictor  # type: ignore[assignment, method-assign]
        self.loaded = real.loaded  # type: ignore[method-assign]

    def predict(self, asked: Any) -> Any:
        """Answer by the real one."""
        self.batches.append(list(asked))
        self.gate.wait()
        return self.real.predict(asked)


def test_rows_of_one_batch_are_answered_each_by_its_own_adapter(publish: Publish) -> None:  # noqa: F811
    refs = [
        publish("one", {"name": "lora", "r": 2}),
        publish("two", {"name": "lora", "r": 5}, labels=("yes", "no")),
        publish("three", "ia3"),
    ]
    asked = [(ref, text) for text in TEXTS for ref in refs] * 2
    with serving("one", "two", "three") as server:
        server.fleet.gate.clear()
        with ThreadPoolExecutor(len(asked)) as threads:
            waiting = [threads.submit(server.classify, text, ref) for ref, text in asked]
            while server.application.guard.active < len(asked):
                time.sleep(0.01)
            server.fleet.gate.set()
            found = [one.result().json()["data"][0] for one in waiting]
        assert max(len({row.ref for row in batch}) for batch in server.fleet.batches) == 3
    for (ref, text), answer in zip(asked, found, strict=True):
        (expected,) = api.load(ref).predict([text])
        assert close(answer["probabilities"], expected.record()["probabilities"]), ref


def test_texts_are_written_whole_and_piece_by_piece(publish: Publish, bases: Bases) -> None:  # noqa: F811
    objective = {"name": "sft", "template": "plain", "max_new_tokens": 5}
    ref = publish("writer", "lora", objective, base=bases("llama"))
    asked = {"model": "writer", "messages": [{"role": "user", "content": "the apple"}]}
    with serving("writer") as server:
        whole = server.post("/v1/chat/completions", asked).json()
        more = {"stream": True, "stream_options": {"include_usage": True}}
        lines = server.post("/v1/chat/completions", asked | more).text.split("\n\n")
        chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    (expected,) = api.load(ref).predict([asked["messages"]])
    text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
    assert text == whole["choices"][0]["message"]["content"] == expected.record()["text"]
    assert chunks[-1]["usage"] == whole["usage"]
    assert whole["usage"]["prompt_tokens"] > 0
    assert 0 <= whole["usage"]["completion_tokens"] <= 5


def test_embeddings_are_those_of_the_version(publish: Publish) -> None:  # noqa: F811
    ref = publish("embedder", "lora", "embedding")
    with serving("embedder") as server:
        found = server.post("/v1/embeddings", {"model": "embedder", "input": list(TEXTS)}).json()
    expected = api.load(ref).embed(TEXTS)
    given = np.array([one["embedding"] for one in found["data"]])
    assert given == pytest.approx(expected, abs=1e-5)
    assert found["usage"]["prompt_tokens"] > len(TEXTS)


def test_what_happens_to_a_version_while_it_is_served_has_a_type(
    publish: Publish,  # noqa: F811
    bases: Bases,  # noqa: F811
) -> None:
    publish("kept")
    publish("gone")
    other = publish("other", base=bases("bert", seed=7))
    with serving("kept", "gone", "other") as server:
        assert server.classify("plum", "gone").status_code == 200
        api.open_registry().remove("gone@1")
        assert server.classify("plum", "gone").json()["error"]["code"] == "model_not_found"
        config = bases("bert", seed=7) / "config.json"
        told = config.read_text()
        config.write_text(json.dumps(json.loads(told) | {"layer_norm_eps": 1e-3}))
        try:
            response = server.classify("plum", other)
        finally:
            config.write_text(told)
        assert (response.status_code, response.json()["error"]["code"]) == (
            409,
            "base_model_mismatch",
        )
        assert server.classify("plum", "kept").status_code == 200


class Process:
    """``ahl serve`` as a user starts it."""

    def __init__(self, home: Path, *options: str, **environment: str) -> None:
        command = [sys.executable, "-m", "adapterhub_lite", "serve", *options, "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--home", str(home)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.url = self.event("listening")["url"]

    def event(self, name: str) -> dict[str, Any]:
        """Wait for a line of the log, and return it."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            told: dict[str, Any] = json.loads(line)
            if told.get("event") == name:
                return told
        raise AssertionError(f"the server ended with {self.process.wait()} before {name}")


@pytest.mark.skipif(sys.platform != "linux", reason="signals as on Linux")
def test_a_killed_worker_is_started_again_and_a_stopped_server_ends_well(home: Path) -> None:
    registry = Registry.open(home)
    publish_empty(registry, "tickets")
    registry.set_alias("tickets", "prod", 1)
    server = Process(home, "--alias", "prod", AHL_TOKEN="0123456789abcdef")
    try:
        worker = server.event("worker_started")["pid"]
        assert httpx.get(f"{server.url}/ready", timeout=60).status_code == 200
        assert httpx.get(f"{server.url}/v1/models").status_code == 401
        os.kill(worker, signal.SIGKILL)
        assert server.event("worker_died")["exit_code"] == -signal.SIGKILL
        # The supervisor holds the socket: this waits for the next worker and is not turned away.
        assert httpx.get(f"{server.url}/ready", timeout=60).status_code == 200
        server.process.send_signal(signal.SIGTERM)
        server.event("drained")
        assert server.process.wait(30) == 0
    finally:
        server.process.kill()
        server.process.communicate()
