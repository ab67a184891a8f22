"""What the routes answer, over HTTP."""

import base64
import json
import struct
from typing import Any

import pytest

from adapterhub_lite.inference.fleet import Asked
from tests.unit.serving.running import Running, answer, publish


def error_of(response: Any) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def test_a_text_gets_its_labels_and_the_version_that_gave_them(shared: Running) -> None:
    found = shared.classify("my parcel").json()
    expected = answer(Asked(ref="tickets@1", input="my parcel"))
    assert found["model"] == "tickets@1"
    (one,) = found["data"]
    assert one["probabilities"] == expected.record()["probabilities"]
    assert (one["label"], one["labels"], one["index"]) == ("lost", ["lost"], 0)


def test_texts_and_pairs_are_answered_in_their_order(shared: Running) -> None:
    given = ["a", {"text": "b", "second": "c"}, "d"]
    found = shared.classify(given).json()["data"]
    asked = ["a", ("b", "c"), "d"]
    expected = [answer(Asked(ref="tickets@1", input=one)).record()["score"] for one in asked]
    assert [one["score"] for one in found] == expected
    assert [one["index"] for one in found] == [0, 1, 2]


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("plain", "plain"),
        ({"text": "a", "second": "b"}, ("a", "b")),
        ({"question": "who?", "context": "Ada"}, ("who?", "Ada")),
        ({"words": ["New", "York"]}, ["New", "York"]),
        (
            {"messages": [{"role": "developer", "content": [{"type": "text", "text": "hi"}]}]},
            [{"role": "system", "content": "hi"}],
        ),
    ],
)
def test_predict_takes_the_inputs_of_every_task(server: Running, given: Any, asked: Any) -> None:
    found = server.post("/v1/predict", {"model": "tickets", "inputs": [given], "member": "one"})
    assert found.json()["data"][0]["kind"] == "labels"
    assert server.fleet.batches == [[Asked(ref="tickets@1", input=asked, member="one")]]


def test_each_prediction_has_a_form_of_its_own(shared: Running) -> None:
    kinds = {
        name: shared.post("/v1/predict", {"model": name, "inputs": ["x"]}).json()["data"][0]["kind"]
        for name in ("tickets", "chat", "embed")
    }
    assert kinds == {"tickets": "labels", "chat": "text", "embed": "embedding"}


def test_embeddings_are_numbers_or_packed(shared: Running) -> None:
    asked = {"model": "embed", "input": ["a b", "c"]}
    plain = shared.post("/v1/embeddings", asked).json()
    packed = shared.post("/v1/embeddings", {**asked, "encoding_format": "base64"}).json()
    assert plain["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    for number, one in enumerate(packed["data"]):
        raw = base64.b64decode(one["embedding"])
        assert struct.unpack("<3f", raw) == pytest.approx(plain["data"][number]["embedding"])


def test_a_stream_says_what_the_whole_answer_says(shared: Running) -> None:
    asked = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
    whole = shared.post("/v1/chat/completions", asked).json()
    more = {"stream": True, "stream_options": {"include_usage": True}}
    response = shared.post("/v1/chat/completions", asked | more)
    assert response.headers["content-type"].startswith("text/event-stream")
    *lines, done = [line for line in response.text.split("\n\n") if line]
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert done == "data: [DONE]"
    *pieces, last, usage = chunks
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in pieces)
    assert text == whole["choices"][0]["message"]["content"]
    assert last["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"] == "length"
    assert usage["usage"] == whole["usage"]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


def test_options_reach_the_model(server: Running) -> None:
    asked = {"model": "chat", "prompt": ["x", "y"], "temperature": 0.5, "top_p": 0.9, "top_k": 7}
    asked |= {"stop": "END", "seed": 3, "max_tokens": 2}
    found = server.post("/v1/completions", asked).json()
    assert [one["text"] for one in found["choices"]] == ["chat@1:0 chat@1:1"] * 2
    ((options, _),) = [[row.options for row in rows] for rows in server.fleet.batches]
    assert options is not None
    assert (options.temperature, options.top_p, options.top_k, options.seed) == (0.5, 0.9, 7, 3)
    assert (options.stop, options.max_new_tokens) == (("END",), 2)


def test_a_moved_alias_is_picked_up(server: Running) -> None:
    registry = server.fleet.registry
    registry.set_alias("tickets", "prod", 1)
    assert server.classify("x", "tickets@prod").json()["model"] == "tickets@1"
    publish(registry, "tickets")
    registry.set_alias("tickets", "prod", 2)
    assert server.classify("x", "tickets@prod").json()["model"] == "tickets@2"
    assert server.classify("x", "tickets@1").json()["model"] == "tickets@1"
    assert server.classify("x", "tickets").json()["model"] == "tickets@2"


def test_a_removed_version_is_not_found_and_others_answer_on(server: Running) -> None:
    registry = server.fleet.registry
    publish(registry, "tickets")
    assert server.classify("x", "tickets@2").status_code == 200
    registry.remove("tickets@2")
    response = server.classify("x", "tickets@2")
    assert (response.status_code, error_of(response)["code"]) == (404, "model_not_found")
    assert server.classify("x").json()["model"] == "tickets@1"


def test_models_are_listed_with_what_they_are(server: Running) -> None:
    server.fleet.registry.set_alias("tickets", "prod", 1)
    listed = server.client.get("/v1/models").json()["data"]
    assert [one["id"] for one in listed] == ["chat", "embed", "tickets"]
    tickets = listed[-1]
    assert (tickets["version"], tickets["aliases"]) == ("tickets@1", ["prod"])
    assert (tickets["labels"], tickets["task"]) == (["late", "lost"], "text-classification")
    assert server.client.get("/v1/models/tickets@prod").json()["version"] == "tickets@1"


def test_lineage_names_parents(server: Running) -> None:
    from adapterhub_lite_registry import ManifestDraft, Parent

    registry = server.fleet.registry
    parent = registry.resolve("tickets@1")
    draft = ManifestDraft(kind="adapter", parents=(Parent(digest=parent.digest, role="merged"),))
    registry.publish("tickets", {"file.txt": b"child"}, draft)
    found = server.client.get("/v1/models/tickets/lineage").json()
    assert [one["version"] for one in found["parents"]] == ["tickets@1"]
    above = server.client.get("/v1/models/tickets@1/lineage").json()
    assert [one["version"] for one in above["children"]] == ["tickets@2"]
