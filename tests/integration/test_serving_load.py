"""A server under mixed load: each answer is its own adapter's, and what is wrong stays alone."""

import random
import socket
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from adapterhub_lite import api
from adapterhub_lite.inference.fleet import Fleet
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.training.publish import publish_folder
from adapterhub_lite_registry import ManifestDraft
from tests.integration.test_serving import TEXTS, serving
from tests.unit.inference.conftest import Bases, Publish, bases, close, publish  # noqa: F401
from tests.unit.serving.running import Running, until
from tests.unit.serving.test_time import request

ADAPTERS: Mapping[str, Any] = {
    "one": {"name": "lora", "r": 2},
    "two": {"name": "lora", "r": 5, "target_modules": "all-linear"},
    "three": "ia3",
    "leaving": {"name": "lora", "r": 3},
}
JSON = {"content-type": "application/json"}
Seen = tuple[str, int, str, Any]
"""The version that was asked and the text; status, and what was answered."""


def test_each_answer_under_load_is_its_own_adapters(publish: Publish) -> None:  # noqa: F811
    alone = {}
    for name, method in ADAPTERS.items():
        predictor = api.load(publish(name, method, labels=(f"{name}-a", f"{name}-b")))
        alone |= {(name, text): predictor.predict([text])[0].record() for text in TEXTS}
    with serving(*ADAPTERS) as server, ThreadPoolExecutor(8) as threads:
        clients = [threads.submit(_ask, server, seed) for seed in range(8)]
        until(lambda: sum(map(len, server.fleet.batches)) > 40, 60)
        api.open_registry().remove("leaving@1")
        seen = [one for client in clients for one in client.result(60)]
        figures = server.client.get("/metrics").text
        until(lambda: server.application.guard.active == 0)
        assert server.application.service.batcher.waiting == 0
        assert server.classify(TEXTS[0], "leaving").status_code == 404
        assert server.classify(TEXTS[0], "one").status_code == 200
    statuses = Counter((name, status) for name, status, _, _ in seen)
    assert {status for _, status in statuses} == {200, 400, 404}
    assert statuses["unknown", 404]
    assert statuses["malformed", 400]
    assert not any(status == 404 for name, status in statuses if name in ("one", "two", "three"))
    assert 'code="internal_error"' not in figures
    for name, status, text, answer in seen:
        if status == 200:
            assert close(answer["data"][0]["probabilities"], alone[name, text]["probabilities"])


def _ask(server: Running, seed: int) -> list[Seen]:
    """Ask as one client does: mostly what is right, and all that is not."""
    rng, seen = random.Random(seed), []
    for _ in range(15):
        kind, text = rng.choice([*ADAPTERS, *ADAPTERS, "unknown", "malformed", "gone"]), ""
        if kind == "gone":
            _leave(server, rng.choice(TEXTS))
            continue
        if kind == "malformed":
            found = server.client.post("/v1/classify", content=b'{"model": "one"', headers=JSON)
        else:
            text = rng.choice(TEXTS)
            found = server.classify(text, kind)
        seen.append((kind, found.status_code, text, found.json()))
    return seen


def _leave(server: Running, text: str) -> None:
    """Ask, and close the connection before there is an answer."""
    with socket.create_connection(server.address) as client:
        client.sendall(request("/v1/classify", b'{"model": "two", "input": "%s"}' % text.encode()))


def test_versions_come_and_go_in_little_memory_without_a_failed_request(
    publish: Publish,  # noqa: F811
    tmp_path: Path,
) -> None:
    names = [f"v{number}" for number in range(4)]
    expected = {}
    for number, name in enumerate(names):
        ref = publish(name, {"name": "lora", "r": 2 + number % 2})
        expected[name] = api.load(ref).predict([TEXTS[0]])[0].record()
    registry = api.open_registry()
    fleet = Fleet(registry, get_catalogue())
    fleet.predictor(names[0])
    fleet = Fleet(registry, get_catalogue(), most_bytes=2 * max(fleet.loaded().values()))
    with serving(*names, fleet=fleet) as server:
        for turn in range(2):
            for name in names:
                answer = server.classify(TEXTS[0], name)
                assert answer.status_code == 200, (turn, name)
                record = expected[name]
                assert close(answer.json()["data"][0]["probabilities"], record["probabilities"])
                assert len(fleet.loaded()) <= 2
        # the name means its newest version from the next request on, which is loaded then
        draft = ManifestDraft(kind="adapter", task="text-classification")
        publish_folder(tmp_path / "drawn" / names[1], names[0], draft, registry)
        answer = server.classify(TEXTS[0], names[0]).json()
    assert answer["model"] == f"{names[0]}@2"
    assert close(answer["data"][0]["probabilities"], expected[names[1]]["probabilities"])
