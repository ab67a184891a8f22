"""A server's process: it answers until it is told to stop, and then finishes what was asked."""

import asyncio
import os
import signal
import socket
from types import FrameType

import uvicorn

from adapterhub_lite.serving.app import Application
from adapterhub_lite.serving.connection import bounded_by
from adapterhub_lite.serving.journal import log_event
from adapterhub_lite.serving.limits import Limits

_LARGEST_HEADERS = 32 * 1024
_LAST_SECONDS = 2
"""How long connections may take to close when everything is answered, or the grace is over."""


class DrainingServer(uvicorn.Server):
    """uvicorn, which on the first signal answers what was asked before, and on the second stops."""

    def __init__(self, application: Application, limits: Limits) -> None:
        self._application = application
        self._drain: asyncio.Task[None] | None = None
        super().__init__(
            uvicorn.Config(
                application,
                loop="asyncio",
                http=bounded_by(limits.read_timeout),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                h11_max_incomplete_event_size=_LARGEST_HEADERS,
                timeout_graceful_shutdown=_LAST_SECONDS,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; stop at once when that was asked for before.

        The signal is not remembered as uvicorn would, which raises it again at the end: a server
        that was told to stop and did ends with 0.
        """
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(self.begin_drain, signal.Signals(sig).name)

    def begin_drain(self, reason: str) -> None:
        """Begin to drain; the second time, stop at once. It is called in the event loop."""
        if self._drain is not None:
            self.should_exit = self.force_exit = True
            return
        log_event("draining", reason=reason)
        self._drain = asyncio.get_running_loop().create_task(self._drain_and_stop())

    async def _drain_and_stop(self) -> None:
        finished = await self._application.drain()
        log_event("drained", all_answered=finished)
        self.should_exit = True


def run_worker(
    application: Application, limits: Limits, listener: socket.socket, parent: int | None = None
) -> None:
    """Answer on ``listener`` until a signal, or the end of whoever holds the pipe ``parent``.

    Returns when what was asked is answered, or the grace is over.
    """
    server = DrainingServer(application, limits)

    async def serve() -> None:
        if parent is not None:
            loop = asyncio.get_running_loop()
            loop.add_reader(parent, _parent_ended, server, loop, parent)
        await server.serve(sockets=[listener])

    asyncio.run(serve())
    if not application.service.batcher.stop(patience=1.0):
        # The model is in the middle of a computation that nobody waits for. A thread cannot be
        # stopped, and the interpreter would tear down what it uses.
        log_event("stopped", model="still computing")
        os._exit(0)
    log_event("stopped")


def _parent_ended(server: DrainingServer, loop: asyncio.AbstractEventLoop, parent: int) -> None:
    loop.remove_reader(parent)
    server.begin_drain("the supervisor ended")
