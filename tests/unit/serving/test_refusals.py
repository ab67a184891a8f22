"""What is refused, how, and that the server goes on."""

from typing import Any

import pytest

from adapterhub_lite.errors import BaseModelError, DataError, IntegrityError, UserError
from adapterhub_lite.serving.access import Access
from adapterhub_lite.serving.served import require_refs, require_there
from adapterhub_lite_registry import NotFoundError, Registry
from tests.unit.serving.running import FakeFleet, Running, publish, running
from tests.unit.serving.test_answers import error_of

JSON = {"content-type": "application/json"}
CHAT: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("body", [b"{", b"", b"[" * 50_000, b"\xff\xfe", b'{"model": NaN,}'])
def test_what_is_no_json_is_said_so(shared: Running, body: bytes) -> None:
    response = shared.client.post("/v1/classify", content=body, headers=JSON)
    assert response.status_code in (400, 422)
    assert error_of(response)["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/classify", {"model": "tickets", "input": 3}, "input"),
        ("/v1/classify", {"model": "tickets", "input": []}, "input"),
        ("/v1/classify", {"model": "tickets", "input": "x", "inputs": "y"}, "inputs"),
        ("/v1/classify", {"model": "tickets", "input": "\ud800"}, "input"),
        ("/v1/predict", {"model": "tickets", "inputs": [{"text": "a", "words": []}]}, "inputs"),
        ("/v1/embeddings", {"model": "embed", "input": "x", "dimensions": 2}, "dimensions"),
        ("/v1/chat/completions", CHAT | {"temperature": "hot"}, "temperature"),
        ("/v1/chat/completions", CHAT | {"n": 2}, "n"),
        ("/v1/chat/completions", CHAT | {"max_tokens": 5000}, "max_tokens"),
        ("/v1/chat/completions", CHAT | {"tools": []}, "tools"),
        ("/v1/chat/completions", CHAT | {"stream_options": {}}, "stream_options"),
        ("/v1/chat/completions", CHAT | {"max_tokens": 1, "max_completion_tokens": 1}, "max"),
        ("/v1/completions", {"model": "chat", "prompt": ["a", "b"], "stream": True}, "prompt"),
    ],
)
def test_a_wrong_field_is_named(shared: Running, path: str, body: Any, param: str) -> None:
    # httpx writes no lone surrogates
    import json

    response = shared.client.post(path, content=json.dumps(body).encode(), headers=JSON)
    error = error_of(response)
    assert response.status_code == 422
    assert str(error["param"]).startswith(param)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("tickts", "did you mean 'tickets'"),
        ("tickets@9", "no version 9"),
        ("tickets@nope", "nope"),
        ("../../etc/passwd", "is not served"),
        ("/tmp", "is not served"),
        ("tickets@../x", "not allowed"),
        ("secret", "is not served"),
    ],
)
def test_only_what_is_served_is_looked_up(shared: Running, model: str, said: str) -> None:
    response = shared.classify("x", model)
    error = error_of(response)
    assert (response.status_code, error["code"]) == (404, "model_not_found")
    assert said in error["message"]
    assert shared.client.get(f"/v1/models/{model.replace('/', '%2F')}").status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/classify", {"model": "chat", "input": "x"}),
        ("/v1/embeddings", {"model": "tickets", "input": "x"}),
        ("/v1/chat/completions", CHAT | {"model": "tickets"}),
        ("/v1/embeddings", {"model": "tickets", "input": "x", "member": "m"}),
    ],
)
def test_a_version_of_another_task_is_refused(shared: Running, path: str, body: Any) -> None:
    response = shared.post(path, body)
    assert (response.status_code, error_of(response)["code"]) == (400, "wrong_task")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BaseModelError("another base", ref="x"), 409, "base_model_mismatch"),
        (DataError("too long", hint="shorten it"), 400, "invalid_input"),
        (IntegrityError("damaged"), 503, "version_damaged"),
        (RuntimeError("secret reason"), 500, "internal_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_the_model_refuses_has_a_type_and_fails_nobody_else(
    server: Running, error: Exception, status: int, code: str, stream: bool
) -> None:
    server.fleet.fails["chat@1"] = error
    response = server.post("/v1/chat/completions", CHAT | {"stream": stream})
    assert (response.status_code, error_of(response)["code"]) == (status, code)
    assert "secret" not in response.text
    assert server.classify("x").status_code == 200


def test_a_row_that_breaks_a_batch_fails_alone(registry: Registry) -> None:
    fleet = FakeFleet(registry, fails={"bad": RuntimeError("boom")})
    with running(registry, fleet) as server:
        response = server.classify(["good", "bad", "fine"])
        assert response.status_code == 500
        assert [len(batch) for batch in fleet.batches] == [3, 1, 1, 1]
        assert server.classify(["good", "fine"]).status_code == 200


def test_a_stream_that_breaks_says_so_in_an_event(registry: Registry) -> None:
    with running(registry, FakeFleet(registry, breaks_at="chat@1:2")) as server:
        text = server.post("/v1/chat/completions", CHAT | {"stream": True}).text
    assert "internal_error" in text
    assert "[DONE]" not in text
    assert "secret" not in text


def test_a_large_body_is_refused_and_the_connection_is_closed(registry: Registry) -> None:
    with running(registry, body_bytes=1000) as server:
        response = server.classify("x" * 3000)
        assert (response.status_code, error_of(response)["code"]) == (413, "body_too_large")
        assert response.headers["connection"] == "close"
        chunked = server.client.post("/v1/classify", content=iter([b" " * 600] * 20), headers=JSON)
        assert chunked.status_code == 413
        assert server.classify("x").status_code == 200


def test_many_inputs_are_refused(registry: Registry) -> None:
    with running(registry, inputs=2) as server:
        response = server.classify(["a", "b", "c"])
    assert (response.status_code, error_of(response)["code"]) == (422, "too_many_inputs")


def test_unknown_routes_and_methods_have_errors_of_the_same_form(shared: Running) -> None:
    assert error_of(shared.client.get("/v2"))["code"] == "no_such_route"
    response = shared.client.get("/v1/classify")
    assert (response.status_code, error_of(response)["code"]) == (405, "no_such_method")
    assert response.headers["allow"] == "POST"


def test_a_token_opens_what_needs_one(registry: Registry) -> None:
    token = "0123456789abcdef"
    with running(registry, access=Access(token, "0.0.0.0")) as server:
        assert server.classify("x").status_code == 401
        assert server.client.get("/metrics").status_code == 401
        assert server.client.get("/health").status_code == 200
        wrong = server.classify("x", headers={"authorization": f"Bearer {token}x"})
        assert error_of(wrong)["type"] == "authentication_error"
        assert wrong.headers["www-authenticate"] == "Bearer"
        right = server.classify("x", headers={"authorization": f"Bearer {token}"})
        assert right.status_code == 200


def test_without_a_token_only_names_of_this_machine_are_answered(shared: Running) -> None:
    for host in ("localhost:1", "127.0.0.1", "[::1]:80", "LOCALHOST"):
        assert shared.classify("x", headers={"host": host}).status_code == 200
    for host in ("example.org", "127.0.0.1.example.org", ""):
        response = shared.classify("x", headers={"host": host})
        assert (response.status_code, error_of(response)["code"]) == (403, "wrong_host")


@pytest.mark.parametrize(
    ("token", "host"),
    [
        (None, "0.0.0.0"),
        (None, "::"),
        (None, "example.org"),
        ("short", "127.0.0.1"),
        ("ü" * 20, "127.0.0.1"),
    ],
)
def test_who_could_be_reached_by_others_needs_a_token(token: str | None, host: str) -> None:
    with pytest.raises(UserError):
        Access(token, host)


def test_what_is_named_has_to_be_there(registry: Registry) -> None:
    require_there(registry, ["tickets", "tickets@1"], None)
    with pytest.raises(NotFoundError):
        require_there(registry, ["tickets@2"], None)
    with pytest.raises(NotFoundError, match="no name has the alias 'prod'"):
        require_there(registry, [], "prod")
    with pytest.raises(UserError, match="nothing is named"):
        require_refs([], None)
    with pytest.raises(UserError, match="is a path"):
        require_refs(["./folder"], None)


def test_a_reference_that_was_given_opens_itself_alone(registry: Registry) -> None:
    publish(registry, "tickets")
    with running(registry, refs=["tickets@1"]) as server:
        assert server.classify("x", "tickets").json()["model"] == "tickets@1"
        assert server.classify("x", "tickets@1").status_code == 200
        assert server.classify("x", "tickets@2").status_code == 404
        assert [one["id"] for one in server.client.get("/v1/models").json()["data"]] == [
            "tickets@1"
        ]


def test_an_alias_opens_every_name_that_has_it_whenever_it_gets_it(registry: Registry) -> None:
    registry.set_alias("tickets", "prod", 1)
    with running(registry, refs=[], alias="prod") as server:
        assert server.classify("x", "tickets").json()["model"] == "tickets@1"
        assert server.classify("x", "tickets@1").status_code == 404
        chat = {"model": "chat@prod", "prompt": "x"}
        assert server.post("/v1/completions", chat).status_code == 404
        registry.set_alias("chat", "prod", 1)
        assert server.post("/v1/completions", chat).status_code == 200


def test_the_page_loads_nothing_from_elsewhere(shared: Running) -> None:
    page = shared.client.get("/")
    assert "script-src 'sha256-" in page.headers["content-security-policy"]
    assert "http" not in page.text.replace("http-equiv", "")
