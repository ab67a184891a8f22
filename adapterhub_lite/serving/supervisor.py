"""A parent that starts the server's process again when it dies.

It holds the listening socket, so clients wait while a worker starts, and are not turned away. It
imports neither torch nor FastAPI and has one thread, so that it can fork.
"""

import os
import signal
import sys
import time
from types import FrameType
from typing import Final

from adapterhub_lite.serving.journal import log_event

_FINAL: Final = (0, 2)
"""How a worker ends that is not started again: it was told to stop, or was started wrongly."""
_HEALTHY_SECONDS: Final = 60.0
_LONGEST_PAUSE: Final = 30.0
_TRIES: Final = 6
"""How many workers in a row may die young before the parent gives up."""


def fork_worker() -> int:
    """Return in the server's process, with a pipe that ends when the parent does.

    The parent stays here: it starts a worker whenever one dies, after a pause that doubles, hands
    SIGTERM and SIGINT on, and exits as the last worker did.
    """
    return _Supervisor().run()


class _Supervisor:
    def __init__(self) -> None:
        self._worker = 0
        self._stopping = False

    def run(self) -> int:
        young = 0
        while True:
            begun = time.monotonic()
            pipe = self._fork()
            if pipe is not None:
                return pipe
            code = self._wait()
            if self._stopping or code in _FINAL:
                sys.exit(code)
            young = 0 if time.monotonic() - begun > _HEALTHY_SECONDS else young + 1
            if young >= _TRIES:
                log_event("gave_up", exit_code=code, workers=young)
                sys.exit(1)
            self._pause(code, young)

    def _fork(self) -> int | None:
        """Return the pipe in the child, and nothing in the parent."""
        reading, self._writing = os.pipe()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hand_on)
        sys.stdout.flush()
        sys.stderr.flush()
        self._worker = os.fork()
        if self._worker:
            os.close(reading)
            log_event("worker_started", pid=self._worker)
            return None
        os.close(self._writing)
        # A group of its own: Ctrl-C reaches the parent alone, which hands it on once.
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return reading

    def _wait(self) -> int:
        """Wait for the worker and return its exit code; of one that a signal ended, minus that."""
        _, status = os.waitpid(self._worker, 0)
        self._worker = 0
        os.close(self._writing)
        code = os.waitstatus_to_exitcode(status)
        if self._stopping and code == -signal.SIGTERM:
            return 0  # it had not begun to answer
        return code if code >= 0 or not self._stopping else 1

    def _pause(self, code: int, young: int) -> None:
        seconds = min(0.5 * 2 ** max(young - 1, 0), _LONGEST_PAUSE)
        log_event("worker_died", exit_code=code, restart_in=seconds)
        until = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < until:
            time.sleep(0.05)
        if self._stopping:
            sys.exit(0)

    def _hand_on(self, number: int, _: FrameType | None) -> None:
        self._stopping = True
        if self._worker:
            os.kill(self._worker, number)
