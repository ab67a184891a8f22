"""What a server writes down, and what it imports to do so."""

import json
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.serving.journal import Lines, Masker, RequestLog
from adapterhub_lite_registry import Registry
from tests.unit.docs.pages import DOCS, blocks
from tests.unit.serving.running import Running, running, until

SECRET = "write to ada@example.org or https://example.org/x, +49 (30) 123-45"


def test_a_line_a_request_says_all_but_the_text(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "adapterhub_lite.serving")
    response = server.classify([SECRET, SECRET])
    server.classify(SECRET, "nobody")
    until(lambda: len(caplog.records) == 2)  # a line is written when its request is over
    told = [json.loads(Lines().format(record)) for record in caplog.records]
    first, second = [line for line in told if line.get("event") == "request"]
    assert first["id"] == response.headers["x-request-id"]
    assert (first["route"], first["version"], first["status"]) == ("/v1/classify", "tickets@1", 200)
    assert (first["inputs"], first["batch"]) == (2, 2)
    assert (second["status"], second["code"]) == (404, "model_not_found")
    assert "ada@" not in json.dumps(told)


def test_figures_are_told_by_version(server: Running) -> None:
    server.classify(["a", "b"])
    server.classify("a", "chat")
    server.post("/v1/embeddings", {"model": "embed", "input": "a b"})
    until(lambda: server.application.guard.active == 0)
    text = server.client.get("/metrics").text
    for line in (
        'adapterhub_labels_total{label="lost",version="tickets@1"} 2.0',
        'adapterhub_requests_total{route="/v1/classify",status="200",version="tickets@1"} 1.0',
        'adapterhub_errors_total{code="wrong_task",version="chat@1"} 1.0',
        'adapterhub_tokens_total{direction="read",version="embed@1"} 2.0',
        'adapterhub_batch_size_sum{version="tickets@1"} 2.0',
        'adapterhub_loaded_bytes{version="tickets@1"} 1000.0',
        "adapterhub_queue_inputs 0.0",
    ):
        assert line in text


@pytest.mark.parametrize("texts", ["none", "hash", "masked", "full"])
def test_a_request_log_keeps_of_texts_what_was_asked(
    registry: Registry, tmp_path: Path, texts: Any
) -> None:
    path = tmp_path / "answers.jsonl"
    log = RequestLog(path, texts, most_bytes=10_000, keep=2)
    with running(registry, request_log=log) as server:
        server.classify([SECRET, SECRET])
        server.post("/v1/completions", {"model": "chat", "prompt": SECRET})
    log.close()
    written = path.read_text()
    lines = [json.loads(line) for line in written.splitlines()]
    assert [line["version"] for line in lines] == ["tickets@1", "tickets@1", "chat@1"]
    assert (lines[0]["labels"], lines[1]["index"]) == (["lost"], 1)
    assert path.stat().st_mode & 0o777 == 0o600
    assert ("ada@example.org" in written) == (texts == "full")
    assert ("write to" in written) == (texts in ("masked", "full"))
    if texts == "hash":
        assert lines[0]["texts"] == lines[1]["texts"]
        assert Masker("hash")(SECRET) != lines[0]["texts"][0]


def test_masks_leave_words() -> None:
    assert Masker("masked")(SECRET)["text"] == "write to <email> or <url> +<number>"


def test_a_request_log_begins_a_new_file_and_keeps_some(registry: Registry, tmp_path: Path) -> None:
    log = RequestLog(tmp_path / "log", "none", most_bytes=500, keep=2)
    with running(registry, request_log=log) as server:
        for _ in range(8):
            server.classify("x")
    log.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["log", "log.1", "log.2"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_a_supervisor_imports_nothing_heavy() -> None:
    script = (
        "import sys, adapterhub_lite.cli.serve\n"
        "from adapterhub_lite.serving import access, journal, limits, listening, served\n"
        "import adapterhub_lite.serving.supervisor\n"
        "heavy = {'torch', 'numpy', 'transformers', 'fastapi', 'uvicorn', 'starlette'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def on(server: Running, block: str) -> str:
    """Return a block of the page, asked of the test's server."""
    return block.replace("http://127.0.0.1:8000", server.url)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_page_s_shell_examples_answer(shared: Running) -> None:
    page = (DOCS / "serving.md").read_text(encoding="utf-8")
    found = [block for block in blocks(page, "sh") if "curl" in block]
    assert len(found) == 2
    for block in found:
        done = subprocess.run(["bash", "-c", on(shared, block)], capture_output=True, text=True)
        assert re.search(r'"model":\s*"tickets@1"', done.stdout), done


def test_the_page_s_python_example_runs(
    shared: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = blocks((DOCS / "serving.md").read_text(encoding="utf-8"), "python")
    found: dict[str, Any] = {}
    exec(on(shared, block), found)
    found["client"].close()
    assert capsys.readouterr().out.count("chat@1:0") == 2
    assert len(found["vectors"].data) == 2
