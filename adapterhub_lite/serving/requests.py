"""What requests look like; an unknown key is refused, never ignored."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _without_halves(text: str) -> str:
    """Refuse halves of surrogate pairs, which JSON can spell and UTF-8 cannot."""
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("half of a surrogate pair stands in the text")
    return text


Text = Annotated[str, AfterValidator(_without_halves)]
Model = Annotated[
    Text,
    Field(min_length=1, max_length=200, description="A served name, name@7 or name@prod."),
]
Member = Annotated[
    Text | None,
    Field(max_length=200, description="The member of a composition that is to answer."),
]


class Request(BaseModel):
    """Closed to unknown keys; a number is no text, and a text no number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Pair(Request):
    """Two texts that are read together."""

    text: Text
    second: Text

    def asked(self) -> Any:
        """Return the input of a model."""
        return self.text, self.second


class Question(Request):
    """A question about a text."""

    question: Text
    context: Text

    def asked(self) -> Any:
        """Return the input of a model."""
        return self.question, self.context


class Words(Request):
    """A text whose words are told apart already."""

    words: list[Text]

    def asked(self) -> Any:
        """Return the input of a model."""
        return self.words


class TextPart(Request):
    """A piece of a message's text."""

    type: Literal["text"]
    text: Text


class Message(Request):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart]

    def asked(self) -> dict[str, str]:
        """Return the message as models take it; ``developer`` is the newer word for ``system``."""
        role = "system" if self.role == "developer" else self.role
        if isinstance(self.content, str):
            return {"role": role, "content": self.content}
        return {"role": role, "content": "".join(part.text for part in self.content)}


class Conversation(Request):
    """Messages that a model goes on from."""

    messages: list[Message] = Field(min_length=1)

    def asked(self) -> Any:
        """Return the input of a model."""
        return [message.asked() for message in self.messages]


Input = Text | Pair | Question | Words | Conversation


class ClassifyRequest(Request):
    """Texts, or pairs of texts, to label."""

    model: Model
    input: Text | Pair | Annotated[list[Text | Pair], Field(min_length=1)]
    member: Member = None


class PredictRequest(Request):
    """Inputs of any task."""

    model: Model
    inputs: Annotated[list[Input], Field(min_length=1)]
    member: Member = None


class EmbeddingsRequest(Request):
    """Texts to embed, by OpenAI's form."""

    model: Model
    input: Text | Annotated[list[Text], Field(min_length=1)]
    encoding_format: Literal["float", "base64"] = "float"
    member: Member = None


class StreamOptions(Request):
    """What a stream tells beside its text."""

    include_usage: bool = False


Stop = Annotated[Text, Field(min_length=1)]


class WritingRequest(Request):
    """What completions of both forms have in common.

    ``n`` and the penalties are taken at the value that changes nothing, since clients send them.
    """

    model: Model
    temperature: Annotated[float | None, Field(ge=0, le=100, allow_inf_nan=False)] = None
    top_p: Annotated[float | None, Field(gt=0, le=1, allow_inf_nan=False)] = None
    top_k: Annotated[int | None, Field(ge=0, le=1_000_000)] = None
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = None
    seed: Annotated[int | None, Field(ge=0, lt=2**63)] = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Literal[1, None] = None
    presence_penalty: Annotated[float | None, Field(ge=0, le=0)] = None
    frequency_penalty: Annotated[float | None, Field(ge=0, le=0)] = None
    member: Member = None


Count = Annotated[int | None, Field(ge=1, le=1_000_000)]


class CompletionRequest(WritingRequest):
    """Texts to go on from, by OpenAI's form."""

    prompt: Text | Annotated[list[Text], Field(min_length=1)]
    max_tokens: Count = None


class ChatRequest(WritingRequest):
    """A conversation to go on with, by OpenAI's form."""

    messages: list[Message] = Field(min_length=1)
    max_tokens: Count = None
    max_completion_tokens: Count = None
