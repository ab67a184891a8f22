"""The routes of OpenAI's form: embeddings, completions, conversations."""

import base64
import struct
import time
import uuid
from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from adapterhub_lite.inference.fleet import Asked
from adapterhub_lite.inference.generation import GenerationOptions
from adapterhub_lite.predictions import Embedded, Generated, Prediction
from adapterhub_lite.serving.answers import WRITING, row_of, wrong_answer
from adapterhub_lite.serving.failures import RefusedError
from adapterhub_lite.serving.requests import (
    ChatRequest,
    CompletionRequest,
    EmbeddingsRequest,
    Message,
    WritingRequest,
)
from adapterhub_lite.serving.responses import (
    ChatChoice,
    ChatCompletion,
    Completion,
    CompletionChoice,
    Embedding,
    EmbeddingsResponse,
    EmbeddingsUsage,
    WrittenMessage,
)
from adapterhub_lite.serving.served import Found, require_task
from adapterhub_lite.serving.service import Service, record_of
from adapterhub_lite.serving.sse import (
    MEDIA_TYPE,
    ChatEvents,
    CompletionEvents,
    finish_of,
    streamed,
    usage_of,
)

_STREAMED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}
}
"""With ``stream`` the answer is events, whose data are chunks of the same form."""


def openai_routes(service: Service) -> APIRouter:
    """Return the routes that OpenAI's client asks."""
    router = APIRouter(prefix="/v1", tags=["OpenAI"])

    @router.post("/embeddings", summary="Embed texts.")
    async def embeddings(asked: EmbeddingsRequest, request: Request) -> EmbeddingsResponse:
        found = service.find(request, asked.model)
        if asked.member is None:
            require_task(found, ["sentence-similarity"], "ask POST /v1/predict")
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        rows = [row_of(found, text, asked.member) for text in texts]
        answers = _embedded(found, await service.answer(request, rows, "read"))
        read = sum(one.read for one in answers)
        record_of(request).tokens = (read, 0)
        shown = _packed if asked.encoding_format == "base64" else list
        return EmbeddingsResponse(
            model=found.version,
            data=[
                Embedding(index=number, embedding=shown(one.vector))
                for number, one in enumerate(answers)
            ],
            usage=EmbeddingsUsage(prompt_tokens=read, total_tokens=read),
        )

    @router.post(
        "/completions",
        summary="Go on from texts.",
        response_model=Completion,
        responses=_STREAMED,
    )
    async def completions(asked: CompletionRequest, request: Request) -> Completion | Response:
        found = _writer(service, request, asked)
        options = _options(service, asked, asked.max_tokens, "max_tokens")
        prompts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
        rows = [row_of(found, prompt, asked.member, options=options) for prompt in prompts]
        if asked.stream:
            return await _stream(service, request, rows, CompletionEvents(found.version), asked)
        answers = await _written(service, request, found, rows)
        return Completion(
            id=f"cmpl-{uuid.uuid4().hex}",
            created=int(time.time()),
            model=found.version,
            choices=[
                CompletionChoice(index=number, text=one.text, finish_reason=finish_of(one))
                for number, one in enumerate(answers)
            ],
            usage=usage_of(*_counted(request, answers)),
        )

    @router.post(
        "/chat/completions",
        summary="Go on with a conversation.",
        response_model=ChatCompletion,
        responses=_STREAMED,
    )
    async def chat(asked: ChatRequest, request: Request) -> ChatCompletion | Response:
        found = _writer(service, request, asked)
        options = _options(service, asked, *_most(asked))
        rows = [_conversation(found, asked.messages, asked.member, options)]
        if asked.stream:
            return await _stream(service, request, rows, ChatEvents(found.version), asked)
        (answer,) = answers = await _written(service, request, found, rows)
        return ChatCompletion(
            id=f"chatcmpl-{uuid.uuid4().hex}",
            created=int(time.time()),
            model=found.version,
            choices=[
                ChatChoice(
                    index=0,
                    message=WrittenMessage(content=answer.text),
                    finish_reason=finish_of(answer),
                )
            ],
            usage=usage_of(*_counted(request, answers)),
        )

    return router


def _writer(service: Service, request: Request, asked: WritingRequest) -> Found:
    found = service.find(request, asked.model)
    if asked.member is None:
        require_task(found, WRITING, "ask POST /v1/predict")
    if asked.stream_options is not None and not asked.stream:
        raise RefusedError(
            "stream_options mean nothing without stream",
            status=422,
            code="invalid_request",
            param="stream_options",
        )
    return found


def _options(
    service: Service, asked: WritingRequest, most: int | None, param: str
) -> GenerationOptions:
    """Return how text is generated; raises RefusedError for more tokens than are allowed."""
    allowed = service.limits.new_tokens
    if most is not None and most > allowed:
        raise RefusedError(
            f"{param} is {most}, and {allowed} are allowed",
            status=422,
            code="too_many_tokens",
            param=param,
        )
    stop = (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ())
    return GenerationOptions(
        max_new_tokens=most,
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=asked.top_k,
        stop=stop,
        seed=asked.seed,
    )


def _most(asked: ChatRequest) -> tuple[int | None, str]:
    """Return how many tokens may be written, by the older or the newer word for it."""
    if asked.max_tokens is not None and asked.max_completion_tokens is not None:
        raise RefusedError(
            "max_tokens and max_completion_tokens are two words for one thing",
            status=422,
            code="invalid_request",
            param="max_tokens",
            hint="give one",
        )
    if asked.max_tokens is not None:
        return asked.max_tokens, "max_tokens"
    return asked.max_completion_tokens, "max_completion_tokens"


def _conversation(
    found: Found, messages: Sequence[Message], member: str | None, options: GenerationOptions
) -> Asked:
    asked = [message.asked() for message in messages]
    return Asked(ref=found.version, input=asked, member=member, options=options)


async def _stream(
    service: Service,
    request: Request,
    rows: Sequence[Asked],
    events: ChatEvents | CompletionEvents,
    asked: WritingRequest,
) -> Response:
    if len(rows) > 1:
        raise RefusedError(
            "one prompt is streamed at a time",
            status=422,
            code="invalid_request",
            param="prompt",
            hint="send a request for each",
        )
    pieces = await service.stream(request, rows[0])
    usage = asked.stream_options is not None and asked.stream_options.include_usage
    return streamed(pieces, events, record_of(request), usage=usage)


async def _written(
    service: Service, request: Request, found: Found, rows: Sequence[Asked]
) -> list[Generated]:
    answers = await service.answer(request, rows, "write")
    written = [one for one in answers if isinstance(one, Generated)]
    if len(written) < len(answers):
        raise wrong_answer(found, "text")
    return written


def _counted(request: Request, answers: Sequence[Generated]) -> tuple[int, int]:
    """Return the tokens that were read and written, and remember them for the log."""
    tokens = sum(one.read for one in answers), sum(one.written for one in answers)
    record_of(request).tokens = tokens
    return tokens


def _embedded(found: Found, answers: Sequence[Prediction]) -> list[Embedded]:
    embedded = [one for one in answers if isinstance(one, Embedded)]
    if len(embedded) < len(answers):
        raise wrong_answer(found, "embeddings")
    return embedded


def _packed(vector: Sequence[float]) -> str:
    """Return numbers as base64 of little-endian float32, as OpenAI's client asks for them."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
