"""A composition whose members all answer is asked by POST /v1/predict, or by a member."""

import json
from pathlib import Path

from adapterhub_lite.serving.journal import RequestLog
from adapterhub_lite_registry import Registry
from tests.unit.serving.running import publish, running


def test_every_member_has_its_answer(registry: Registry, tmp_path: Path) -> None:
    publish(registry, "all", "several-answers")
    log = RequestLog(tmp_path / "requests.jsonl", "masked", most_bytes=10**6, keep=1)
    with running(registry, refs=["all"], request_log=log) as server:
        found = server.post("/v1/predict", {"model": "all", "inputs": ["my parcel"]}).json()
        (answer,) = found["data"]
        assert answer["kind"] == "several"
        assert {name: one["kind"] for name, one in answer["answers"].items()} == {
            "topic": "labels",
            "near": "embedding",
        }
        assert answer["answers"]["topic"]["labels"] == ["lost"]
        refused = server.post("/v1/classify", {"model": "all", "input": "my parcel"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "wrong_task")
        assert 'label="topic/lost",version="all@1"} 1.0' in server.client.get("/metrics").text
    log.close()
    (line,) = (tmp_path / "requests.jsonl").read_text(encoding="utf-8").splitlines()
    kept = json.loads(line)["answers"]
    assert kept["topic"]["labels"] == ["lost"]
    assert kept["near"] == {}
