"""uvicorn's HTTP/1.1, with bounds on a client's time that it does not have itself."""

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def bounded_by(seconds: float) -> type[asyncio.Protocol]:
    """Return a protocol that gives up clients who are slower than that.

    A connection is closed when a request's headers are not complete after ``seconds``, and when
    what was answered is not taken for as long. The body's time is the application's to bound.
    """
    return type("BoundedProtocol", (_BoundedProtocol,), {"seconds": seconds})


class _BoundedProtocol(H11Protocol):
    seconds: ClassVar[float]

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._await_headers()
        elif self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._writing is None:
            self._writing = self.loop.call_later(self.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._reading, self._writing):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def _await_headers(self) -> None:
        if self._reading is None:
            self._reading = self.loop.call_later(self.seconds, self.transport.abort)
