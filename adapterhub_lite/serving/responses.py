"""What responses look like."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Response(BaseModel):
    """What is answered."""

    model_config = ConfigDict(frozen=True)


class Error(Response):
    """OpenAI's form of an error: ``code`` says what it is in a word."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(Response):
    """The body of every response that is no success."""

    error: Error


class Usage(Response):
    """The tokens that were read, and those that were written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Classification(Response):
    """The labels of one input; ``probabilities`` has the likeliest first."""

    index: int
    label: str | None
    labels: list[str]
    score: float
    probabilities: dict[str, float]


class ClassifyResponse(Response):
    """The labels of each input; ``model`` is the version that answered."""

    object: Literal["list"] = "list"
    model: str
    data: list[Classification]


class LabelsAnswer(Response):
    """The labels of a text."""

    kind: Literal["labels"] = "labels"
    label: str | None
    labels: list[str]
    score: float
    probabilities: dict[str, float]


class TagsAnswer(Response):
    """The tag of each word."""

    kind: Literal["tags"] = "tags"
    words: list[str]
    tags: list[str]
    scores: list[float]


class ValueAnswer(Response):
    """A number."""

    kind: Literal["value"] = "value"
    value: float


class SpanAnswer(Response):
    """The part of a context that answers a question."""

    kind: Literal["span"] = "span"
    answer: str
    start: int
    end: int
    score: float


class TextAnswer(Response):
    """A text that was written."""

    kind: Literal["text"] = "text"
    text: str
    finish: str


class EmbeddingAnswer(Response):
    """An embedding of unit length."""

    kind: Literal["embedding"] = "embedding"
    embedding: list[float]


class SimilarityAnswer(Response):
    """How alike two texts are, from -1 to 1."""

    kind: Literal["similarity"] = "similarity"
    similarity: float


class SeveralAnswer(Response):
    """What each member of a composition answers, by the members' names."""

    kind: Literal["several"] = "several"
    answers: dict[str, "Answer"]


Answer = Annotated[
    LabelsAnswer
    | TagsAnswer
    | ValueAnswer
    | SpanAnswer
    | TextAnswer
    | EmbeddingAnswer
    | SimilarityAnswer
    | SeveralAnswer,
    Field(discriminator="kind"),
]
SeveralAnswer.model_rebuild()


class PredictResponse(Response):
    """The answer to each input, in order; ``model`` is the version that answered."""

    object: Literal["list"] = "list"
    model: str
    data: list[Answer]


class Embedding(Response):
    """The embedding of one text: numbers, or in base64 their little-endian float32."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(Response):
    """The tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(Response):
    """The embedding of each text; ``model`` is the version that answered."""

    object: Literal["list"] = "list"
    model: str
    data: list[Embedding]
    usage: EmbeddingsUsage


Finish = Literal["stop", "length"]


class CompletionChoice(Response):
    """What was written after one prompt."""

    index: int
    text: str
    finish_reason: Finish | None
    logprobs: None = None


class Completion(Response):
    """What was written after each prompt; ``model`` is the version that answered."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None


class WrittenMessage(Response):
    """The message that was written."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(Response):
    """One answer to a conversation."""

    index: int
    message: WrittenMessage
    finish_reason: Finish
    logprobs: None = None


class ChatCompletion(Response):
    """The answer to a conversation; ``model`` is the version that answered."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class Delta(Response):
    """What a piece adds to a message."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(Response):
    """A piece of an answer to a conversation."""

    index: int
    delta: Delta
    finish_reason: Finish | None
    logprobs: None = None


class ChatChunk(Response):
    """An event of a streamed answer; the last but ``[DONE]`` may have the usage, and no choice."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None


class MetricFigure(Response):
    """One measured figure, with its confidence interval where there is one."""

    name: str
    value: float
    split: str | None
    interval: tuple[float, float] | None


class ServedModel(Response):
    """What may be asked for: ``id`` is what a request's ``model`` says, ``version`` what it means.

    ``versions`` are all that the name opens, newest first.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "adapterhub-lite"
    version: str
    versions: list[str]
    aliases: list[str]
    task: str | None
    kind: str
    base: str | None
    method: str | None
    labels: list[str]
    description: str | None
    metrics: list[MetricFigure]


class ServedModels(Response):
    """All that may be asked for."""

    object: Literal["list"] = "list"
    data: list[ServedModel]


class Relative(Response):
    """A version that another was made from, or the other way round; relatives of it are below."""

    digest: str
    version: str | None
    kind: str | None
    role: str | None
    relatives: list["Relative"]


class Family(Response):
    """Where a version comes from, and what was made of it."""

    version: str
    parents: list[Relative]
    children: list[Relative]


class Health(Response):
    """Whether the server works, in a word."""

    status: Literal["ok", "ready"]
