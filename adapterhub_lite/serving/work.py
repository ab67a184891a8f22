"""What waits for the model: the rows of a request, or an answer that is streamed."""

import asyncio
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from adapterhub_lite.errors import AdapterHubError
from adapterhub_lite.inference.fleet import Asked
from adapterhub_lite.predictions import Generated, Prediction

Lane = Literal["read", "write"]
"""Rows that are read in one pass of the model, and rows that are written token by token."""

LANES: Final[tuple[Lane, ...]] = ("read", "write")


class Job:
    """The rows of one request; ``done`` is set when all of them are computed.

    Whoever waits sets ``dropped`` when it stops waiting: rows that were not begun never are.
    """

    def __init__(
        self, rows: Sequence[Asked], lane: Lane, deadline: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.rows = rows
        self.lane = lane
        self.deadline = deadline
        self.loop = loop
        self.done: asyncio.Future[None] = loop.create_future()
        self.dropped = False
        self.arrived = time.monotonic()
        self.begun = 0.0
        self.batch = 0
        self.taken = 0
        self.found: list[Prediction | BaseException | None] = [None] * len(rows)
        self.left = len(rows)

    @property
    def over(self) -> bool:
        """Whether nobody waits any more."""
        return self.dropped or time.monotonic() >= self.deadline

    def keep(self, number: int, answer: Prediction | BaseException, batch: int) -> bool:
        """Keep the answer to one row, computed among ``batch``; return whether it was the last."""
        self.found[number] = answer
        self.batch = max(self.batch, batch)
        self.left -= 1
        return self.left == 0

    def answers(self) -> list[Prediction]:
        """Return the answers in order; raises the error of the first row that has one."""
        found: list[Prediction] = []
        for number, answer in enumerate(self.found):
            if isinstance(answer, BaseException):
                if len(self.found) > 1 and isinstance(answer, AdapterHubError):
                    answer.message = f"input {number}: {answer.message}"
                raise answer
            assert answer is not None, "a job is done when every row has its answer"
            found.append(answer)
        return found


@dataclass(frozen=True, slots=True)
class End:
    """The end of a stream: the whole answer, or an error."""

    outcome: Generated | BaseException


class Stream:
    """An answer that is written piece by piece; ``pieces`` ends with an :class:`End`."""

    def __init__(
        self,
        asked: Asked,
        deadline: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.asked = asked
        self.deadline = deadline
        self.loop = loop
        self.pieces: asyncio.Queue[str | End] = asyncio.Queue()
        self.dropped = False
        self.written: Generator[str, None, Generated] | None = None

    @property
    def over(self) -> bool:
        """Whether nobody waits any more."""
        return self.dropped or time.monotonic() >= self.deadline

    def hand_on(self, piece: str | End) -> None:
        """Hand a piece to whoever waits in the event loop."""
        self.loop.call_soon_threadsafe(self.pieces.put_nowait, piece)
