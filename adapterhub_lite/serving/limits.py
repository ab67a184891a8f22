"""What a server allows; free of FastAPI."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of one server; times are in seconds.

    ``requests`` are those answered at the same time, ``queue`` the inputs that may wait for the
    model, ``batch`` those computed together. A batch waits up to ``max_wait`` for more inputs; at 0
    it is whatever came while the model was at work. ``timeout`` bounds a request from its first
    byte to its answer, ``read_timeout`` its headers, and again its body; ``grace`` is how long a
    server that was told to stop goes on with what was asked before.
    """

    body_bytes: int = 1 << 20
    inputs: int = 128
    new_tokens: int = 1024
    requests: int = 256
    queue: int = 1024
    batch: int = 32
    max_wait: float = 0.0
    timeout: float = 30.0
    read_timeout: float = 10.0
    grace: float = 30.0
