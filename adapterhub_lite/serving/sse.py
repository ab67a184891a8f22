"""Answers that are streamed, as server-sent events in OpenAI's form."""

import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

from pydantic import BaseModel
from starlette.responses import StreamingResponse

from adapterhub_lite.predictions import Generated
from adapterhub_lite.serving.failures import failure_of
from adapterhub_lite.serving.journal import Record
from adapterhub_lite.serving.responses import (
    ChatChunk,
    ChunkChoice,
    Completion,
    CompletionChoice,
    Delta,
    ErrorBody,
    Finish,
    Usage,
)
from adapterhub_lite.serving.service import Pieces

MEDIA_TYPE = "text/event-stream"


def usage_of(read: int, written: int) -> Usage:
    """Return counts of tokens."""
    return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


def finish_of(answer: Generated) -> Finish:
    """Return why a text ended."""
    return "length" if answer.finish == "length" else "stop"


class ChatEvents:
    """Makes the events of a conversation's answer."""

    def __init__(self, version: str) -> None:
        self._id, self._created, self._version = f"chatcmpl-{uuid.uuid4().hex}", _now(), version

    def begin(self) -> Iterator[BaseModel]:
        """Yield what stands before the first piece."""
        yield self._chunk(Delta(role="assistant", content=""), None)

    def piece(self, text: str) -> BaseModel:
        """Return the event of a piece."""
        return self._chunk(Delta(content=text), None)

    def end(self, answer: Generated) -> BaseModel:
        """Return the event that says why it ended."""
        return self._chunk(Delta(), finish_of(answer))

    def usage(self, usage: Usage) -> BaseModel:
        """Return the event with the usage."""
        return ChatChunk(
            object="chat.completion.chunk",
            id=self._id,
            created=self._created,
            model=self._version,
            choices=[],
            usage=usage,
        )

    def _chunk(self, delta: Delta, finish: Finish | None) -> BaseModel:
        choice = ChunkChoice(index=0, delta=delta, finish_reason=finish)
        return ChatChunk(
            object="chat.completion.chunk",
            id=self._id,
            created=self._created,
            model=self._version,
            choices=[choice],
        )


class CompletionEvents:
    """Makes the events of a text that goes on from a prompt."""

    def __init__(self, version: str) -> None:
        self._id, self._created, self._version = f"cmpl-{uuid.uuid4().hex}", _now(), version

    def begin(self) -> Iterator[BaseModel]:
        """Yield nothing."""
        yield from ()

    def piece(self, text: str) -> BaseModel:
        """Return the event of a piece."""
        return self._chunk(text, None)

    def end(self, answer: Generated) -> BaseModel:
        """Return the event that says why it ended."""
        return self._chunk("", finish_of(answer))

    def usage(self, usage: Usage) -> BaseModel:
        """Return the event with the usage."""
        return Completion(
            object="text_completion",
            id=self._id,
            created=self._created,
            model=self._version,
            choices=[],
            usage=usage,
        )

    def _chunk(self, text: str, finish: Finish | None) -> BaseModel:
        choice = CompletionChoice(index=0, text=text, finish_reason=finish)
        return Completion(
            object="text_completion",
            id=self._id,
            created=self._created,
            model=self._version,
            choices=[choice],
        )


Events = ChatEvents | CompletionEvents


def streamed(pieces: Pieces, events: Events, record: Record, *, usage: bool) -> StreamingResponse:
    """Return the response that hands on pieces as they come.

    What fails once it has begun becomes an event with the error, and no ``[DONE]`` follows it.
    """
    return StreamingResponse(
        _lines(pieces, events, record, usage=usage),
        media_type=MEDIA_TYPE,
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _lines(
    pieces: Pieces, events: Events, record: Record, *, usage: bool
) -> AsyncIterator[str]:
    try:
        for event in events.begin():
            yield _line(event)
        async with aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, str):
                    yield _line(events.piece(piece))
                    continue
                record.tokens = (piece.read, piece.written)
                yield _line(events.end(piece))
                if usage:
                    yield _line(events.usage(usage_of(piece.read, piece.written)))
        yield "data: [DONE]\n\n"
    except Exception as error:
        failure = failure_of(error)
        record.code = failure.code
        yield _line(ErrorBody.model_validate(failure.body()))


def _line(event: BaseModel) -> str:
    # What was not said is left out: a piece has no usage, and a delta no role but the first.
    return f"data: {event.model_dump_json(exclude_unset=True)}\n\n"


def _now() -> int:
    return int(time.time())
