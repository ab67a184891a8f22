"""The official client of OpenAI talks to the server as it does to theirs."""

from collections.abc import Iterator

import openai
import pytest

from tests.unit.serving.running import Running


@pytest.fixture
def client(shared: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{shared.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert "chat" in [model.id for model in client.models.list()]
    assert client.models.retrieve("chat@1").object == "model"


def test_a_conversation_is_answered(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": "hi"}], temperature=0.2, max_tokens=3
    )
    assert answer.choices[0].message.content == "chat@1:0 chat@1:1 chat@1:2"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 6


def test_a_conversation_is_streamed(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="chat",
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "chat@1:0 chat@1:1 chat@1:2 chat@1:3"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 4


def test_texts_are_gone_on_from(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="chat", prompt="x")
    pieces = client.completions.create(model="chat", prompt="x", stream=True)
    assert "".join(chunk.choices[0].text for chunk in pieces) == whole.choices[0].text


def test_texts_are_embedded(client: openai.OpenAI) -> None:
    packed = client.embeddings.create(model="embed", input=["a", "b c"])
    plain = client.embeddings.create(model="embed", input=["a", "b c"], encoding_format="float")
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding)


def test_errors_are_the_client_s_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="did you mean 'embed'"):
        client.embeddings.create(model="embd", input="a")
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="chat", input="a")
    with pytest.raises(openai.UnprocessableEntityError):
        client.embeddings.create(model="embed", input="a", dimensions=3)
