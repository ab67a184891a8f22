"""Locks between processes; the system frees them when their holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from adapterhub_lite_registry.layout import Layout


@contextmanager
def locked(path: str, *, exclusive: bool) -> Iterator[None]:
    """Hold a lock file, shared or alone."""
    fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


class PublishLock:
    """Publishers share it from the first blob that they count on to their reference.

    The collector holds it alone while it takes blobs away. Whoever wants the lock passes a
    turnstile first, at which a waiting collector stands, so that publishers who follow one upon
    the other do not keep it waiting for ever.
    """

    def __init__(self, layout: Layout) -> None:
        self._path = f"{layout.home}/publish.lock"
        self._turnstile = f"{layout.home}/publish.turn"

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Keep the collector out."""
        with ExitStack() as held:
            with locked(self._turnstile, exclusive=False):
                held.enter_context(locked(self._path, exclusive=False))
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep publishers out, and other collectors."""
        with locked(self._turnstile, exclusive=True), locked(self._path, exclusive=True):
            yield
