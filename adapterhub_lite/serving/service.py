"""Between a route and the model: queue rows, wait no longer than allowed, count and write down."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, Final

from starlette.requests import Request

from adapterhub_lite.inference.fleet import Asked
from adapterhub_lite.predictions import Generated, Prediction
from adapterhub_lite.serving.batching import Batcher
from adapterhub_lite.serving.contract import Answers
from adapterhub_lite.serving.failures import ClientGoneError, RefusedError
from adapterhub_lite.serving.figures import Figures
from adapterhub_lite.serving.journal import Record, RequestLog
from adapterhub_lite.serving.limits import Limits
from adapterhub_lite.serving.served import Found, Served
from adapterhub_lite.serving.work import End, Job, Lane, Stream

Pieces = AsyncGenerator[str | Generated, None]
"""Texts, and last what they make together."""
_UNWATCHED: Final = 0.05
"""Seconds for which a client is not watched."""
_FIRST: Final = asyncio.FIRST_COMPLETED


class Service:
    """Answers requests that were read and checked."""

    def __init__(
        self,
        fleet: Answers,
        served: Served,
        limits: Limits,
        figures: Figures,
        request_log: RequestLog | None = None,
    ) -> None:
        self.served, self.limits, self.figures = served, limits, figures
        self.batcher = Batcher(fleet, limits, figures.observe_batch)
        self._fleet = fleet
        self._request_log = request_log

    def find(self, request: Request, model: str) -> Found:
        """Return the version that ``model`` means now; raises as :meth:`Served.find`."""
        found = self.served.find(model)
        record = record_of(request)
        record.version, record.route = found.version, request.scope["route"].path
        return found

    async def answer(self, request: Request, rows: Sequence[Asked], lane: Lane) -> list[Prediction]:
        """Answer rows of one version, in order.

        Raises RefusedError: 422 for too many rows, 429 when too much waits already, 504 when the
        time is over; ClientGoneError; or what the first row that failed raised.
        """
        record = record_of(request)
        self._require_few(rows)
        record.inputs = len(rows)
        deadline = record.begun + self.limits.timeout
        job = Job(rows, lane, deadline, asyncio.get_running_loop())
        self.batcher.submit(job)
        try:
            await self._in_time(job.done, request, deadline)
        finally:
            job.dropped = True
            record.batch = job.batch
            record.queued = max(job.begun - job.arrived, 0.0)
        answers = job.answers()
        self._write_down(record, rows, answers)
        return answers

    async def stream(self, request: Request, asked: Asked) -> Pieces:
        """Return the pieces of one answer, once the first is there, and last the whole.

        Raises as :meth:`answer`; what comes later is raised by the pieces.
        """
        record = record_of(request)
        record.inputs = 1
        loop = asyncio.get_running_loop()
        deadline = record.begun + self.limits.timeout
        stream = Stream(asked, deadline, loop)
        self.batcher.open(stream)
        try:
            first = await self._in_time(
                asyncio.ensure_future(stream.pieces.get()), request, deadline
            )
        except BaseException:
            stream.dropped = True
            raise
        record.queued = time.monotonic() - record.begun
        if isinstance(first, End) and isinstance(first.outcome, BaseException):
            raise first.outcome
        return self._pieces(stream, first, record)

    async def _pieces(self, stream: Stream, piece: str | End, record: Record) -> Pieces:
        """Yield pieces until the end; whoever stops listening closes this generator."""
        try:
            while not isinstance(piece, End):
                yield piece
                async with asyncio.timeout(stream.deadline - time.monotonic()):
                    piece = await stream.pieces.get()
        except TimeoutError:
            raise self._too_late() from None
        finally:
            stream.dropped = True
        if isinstance(piece.outcome, BaseException):
            raise piece.outcome
        self._write_down(record, [stream.asked], [piece.outcome])
        yield piece.outcome

    async def _in_time(self, answer: asyncio.Future[Any], request: Request, deadline: float) -> Any:
        """Wait for an answer while its client does.

        A client that leaves is looked for only after a while: most answers are there before, and
        looking costs a task.
        """
        gone: asyncio.Future[None] | None = None
        try:
            left = max(deadline - time.monotonic(), 0)
            await asyncio.wait((answer,), timeout=min(_UNWATCHED, left))
            if not answer.done():
                gone = asyncio.ensure_future(_disconnect(request.receive))
                left = max(deadline - time.monotonic(), 0)
                await asyncio.wait((answer, gone), timeout=left, return_when=_FIRST)
        finally:
            for one in (gone, answer):
                if one is not None and not one.done():
                    one.cancel()
        if answer.done() and not answer.cancelled():
            return answer.result()
        left_early = gone is not None and gone.done() and not gone.cancelled()
        raise ClientGoneError if left_early else self._too_late()

    def _write_down(
        self, record: Record, rows: Sequence[Asked], answers: Sequence[Prediction]
    ) -> None:
        self.figures.observe_answers(record.version, answers)
        if self._request_log is not None:
            self._request_log.write(record, [row.input for row in rows], answers)

    def _require_few(self, rows: Sequence[Asked]) -> None:
        if len(rows) > self.limits.inputs:
            raise RefusedError(
                f"{len(rows)} inputs in a request, where {self.limits.inputs} are allowed",
                status=422,
                code="too_many_inputs",
                hint="split the request",
            )

    def _too_late(self) -> RefusedError:
        return RefusedError(
            f"there was no answer within {self.limits.timeout:g} s",
            status=504,
            code="deadline_exceeded",
            hint="ask for less at once, or later",
        )


def record_of(request: Request) -> Record:
    """Return what the guard remembers of a request."""
    record: Record = request.state.record
    return record


async def _disconnect(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
