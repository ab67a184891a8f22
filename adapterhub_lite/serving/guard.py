"""What every request passes first and last: who asks, how much, how long; and its line in the log.

It is plain ASGI around the application, so what is refused here costs next to nothing.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from starlette.responses import JSONResponse

from adapterhub_lite.errors import AdapterHubError
from adapterhub_lite.serving.access import Access
from adapterhub_lite.serving.failures import ClientGoneError, RefusedError, failure_of
from adapterhub_lite.serving.figures import Figures
from adapterhub_lite.serving.journal import Record, log_request
from adapterhub_lite.serving.limits import Limits

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOGGER = logging.getLogger(__name__)
_LIMITED: Final = "/v1/"
_DISCARDED: Final = 4
"""How many times the limit is read of a body that is too large.

Who is still sending when the connection is closed does not get to see the answer.
"""


class Guard:
    """Lets through what may be asked now, with its body read; answers everything else itself."""

    def __init__(self, app: App, access: Access, limits: Limits, figures: Figures) -> None:
        self._app, self._access, self._limits, self._figures = app, access, limits, figures
        self._tasks: set[asyncio.Task[None] | None] = set()
        self.draining = False

    @property
    def active(self) -> int:
        """How many requests are being answered."""
        return len(self._tasks)

    def cut_off(self) -> None:
        """Answer all that is not answered yet with a refusal."""
        for task in self._tasks:
            if task is not None:
                task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = Record(uuid.uuid4().hex, scope["method"])
        scope.setdefault("state", {})["record"] = record
        reply = _Reply(send, record, self)
        task = asyncio.current_task()
        self._tasks.add(task)
        self._figures.active.inc()
        try:
            headers = dict(scope["headers"])
            self._admit(scope["path"], headers)
            body = await self._read(headers, receive)
            await self._app(scope, _replayed(body, receive), reply)
        except ClientGoneError as gone:
            record.code, reply.status = gone.code, gone.status
        except asyncio.CancelledError:
            await reply.fail(scope, receive, _stopping())
        except Exception as error:
            await reply.fail(scope, receive, error)
        finally:
            self._tasks.discard(task)
            self._figures.active.dec()
            self._note(scope, record, reply.status)

    def _admit(self, path: str, headers: dict[bytes, bytes]) -> None:
        self._access.check(path, headers)
        if not path.startswith(_LIMITED):
            return
        if self.draining:
            raise _stopping()
        if self.active > self._limits.requests:
            raise RefusedError(
                f"{self._limits.requests} requests are being answered, which is the most",
                status=429,
                code="too_many_requests",
                retry_after=1,
            )

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """Read the body; raises RefusedError when it is too large (413) or too slow (408)."""
        if b"content-length" not in headers and b"transfer-encoding" not in headers:
            return b""
        body, size, most = bytearray(), 0, self._limits.body_bytes
        try:
            async with asyncio.timeout(self._limits.read_timeout):
                async for part in _parts(receive):
                    size += len(part)
                    if size <= most:
                        body += part
                    elif size > _DISCARDED * most:
                        break
        except TimeoutError:
            if size <= most:
                raise RefusedError(
                    f"the body did not come within {self._limits.read_timeout:g} s",
                    status=408,
                    code="body_too_slow",
                ) from None
        if size > most:
            raise self._too_large()
        return bytes(body)

    def _too_large(self) -> RefusedError:
        return RefusedError(
            f"the body is larger than {self._limits.body_bytes} bytes",
            status=413,
            code="body_too_large",
            hint="send fewer inputs in a request",
        )

    def _note(self, scope: Scope, record: Record, status: int) -> None:
        route = scope.get("route")
        record.route = getattr(route, "path", record.route)
        log_request(record, status)
        self._figures.observe_request(record, status)


class _Reply:
    """Sends the answer, and remembers how it began; adds the headers that every answer has."""

    def __init__(self, send: Send, record: Record, guard: Guard) -> None:
        self._send, self._record, self._guard = send, record, guard
        self.status = 0

    async def __call__(self, message: Message) -> None:
        """Send one message."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            added = [
                (b"x-request-id", self._record.id.encode()),
                (b"x-content-type-options", b"nosniff"),
            ]
            if self._guard.draining or self.status in (408, 413):
                added.append((b"connection", b"close"))
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await self._send(message)

    async def fail(self, scope: Scope, receive: Receive, error: Exception) -> None:
        """Answer with an error, unless the answer has begun; raise it then, to end the connection.

        The application has answered itself what it did not foresee, before it raised it.
        """
        failure = failure_of(error)
        self._record.code = failure.code
        if not isinstance(error, AdapterHubError):
            _LOGGER.error("a request failed", exc_info=error)
        if self.status == 0:
            response = JSONResponse(failure.body(), failure.status, failure.headers())
            await response(scope, receive, self)


def _stopping() -> RefusedError:
    return RefusedError("the server is stopping", status=503, code="draining", retry_after=5)


async def _parts(receive: Receive) -> Any:
    """Yield the parts of a body; raises ClientGoneError when its sender is gone."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return what hands on a body that was read already, then what comes after it."""
    pending = [body]

    async def replay() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replay
