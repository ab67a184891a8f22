"""One thread runs the model; what waits meanwhile is computed together, in turns that are fair."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence

from adapterhub_lite.errors import AdapterHubError
from adapterhub_lite.inference.fleet import Asked
from adapterhub_lite.predictions import Generated, Prediction
from adapterhub_lite.serving.contract import Answers
from adapterhub_lite.serving.failures import RefusedError
from adapterhub_lite.serving.limits import Limits
from adapterhub_lite.serving.work import LANES, End, Job, Lane, Stream

Taken = list[tuple[Job, int]]
"""The rows of a batch: a request, and which of its rows."""
Observer = Callable[[Sequence[Asked], float], None]
"""Called with the rows of each batch, and the seconds that it took."""

_LOGGER = logging.getLogger(__name__)


class Batcher:
    """Queues requests, and computes what waits on a thread of its own.

    A turn of the thread is one batch of each lane and one piece of each stream. So an answer that
    is streamed never holds up others for longer than a token, and never waits for more than a
    turn. A batch takes a row of each waiting request in rotation, oldest first: a request with many
    rows does not hold up one with few. Rows that nobody waits for any more are not computed.
    """

    def __init__(self, fleet: Answers, limits: Limits, observe: Observer) -> None:
        self._fleet = fleet
        self._limits = limits
        self._observe = observe
        self._changed = threading.Condition()
        self._lanes: dict[Lane, deque[Job]] = {lane: deque() for lane in LANES}
        self._streams: list[Stream] = []
        self._waiting = 0
        self._row_seconds = 0.0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, patience: float) -> bool:
        """Compute nothing more; return whether the thread ended within ``patience`` seconds."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(patience)
        return not self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """How many rows wait."""
        return self._waiting

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def submit(self, job: Job) -> None:
        """Queue a request; raises RefusedError (429) when too much waits already."""
        with self._changed:
            self._require_room(len(job.rows))
            self._waiting += len(job.rows)
            self._lanes[job.lane].append(job)
            self._changed.notify()

    def open(self, stream: Stream) -> None:
        """Begin to stream an answer; raises RefusedError (429) when too much waits already."""
        with self._changed:
            self._require_room(len(self._streams) + 1)
            self._streams.append(stream)
            self._changed.notify()

    def _require_room(self, rows: int) -> None:
        if self._waiting + rows <= self._limits.queue:
            return
        seconds = math.ceil(self._waiting * self._row_seconds)
        raise RefusedError(
            f"{self._waiting} inputs wait already, and {self._limits.queue} may",
            status=429,
            code="queue_full",
            retry_after=min(max(seconds, 1), 60),
        )

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._waiting or self._streams)
                if self._stopped:
                    return
                self._linger()
                batches = [self._take(lane) for lane in LANES]
                streams = list(self._streams)
            for batch in filter(None, batches):
                self._compute(batch)
            for stream in streams:
                if not self._advance(stream):
                    with self._changed:
                        self._streams.remove(stream)

    def _linger(self) -> None:
        """Wait for more rows, where that was asked for and nothing else is to be done."""
        due = time.monotonic() + self._limits.max_wait
        while self._waiting < self._limits.batch and not (self._streams or self._stopped):
            left = due - time.monotonic()
            if left <= 0:
                return
            self._changed.wait(left)

    def _take(self, lane: Lane) -> Taken:
        """Take a batch off the queue: a row of each request, then another of each."""
        queue, taken = self._lanes[lane], Taken()
        while queue and len(taken) < self._limits.batch:
            job = queue.popleft()
            if job.over:
                self._waiting -= len(job.rows) - job.taken
                continue
            taken.append((job, job.taken))
            job.taken += 1
            self._waiting -= 1
            if job.taken < len(job.rows):
                queue.append(job)
        return taken

    def _compute(self, batch: Taken) -> None:
        rows = [job.rows[number] for job, number in batch]
        begun = time.monotonic()
        for job, number in batch:
            if number == 0:
                job.begun = begun
        found = self._answers(rows)
        seconds = time.monotonic() - begun
        self._row_seconds = 0.8 * self._row_seconds + 0.2 * seconds / len(rows)
        self._observe(rows, seconds)
        done = [
            job
            for (job, number), answer in zip(batch, found, strict=True)
            if job.keep(number, answer, len(rows)) and not job.dropped
        ]
        for loop in {job.loop for job in done}:
            loop.call_soon_threadsafe(_tell, [job for job in done if job.loop is loop])

    def _answers(self, rows: Sequence[Asked]) -> Sequence[Prediction | BaseException]:
        """Answer rows together; if that fails, each alone, so that one cannot fail the others."""
        try:
            return self._fleet.predict(rows)
        except Exception as error:
            if len(rows) > 1:
                return [answer for row in rows for answer in self._answers([row])]
            if not isinstance(error, AdapterHubError):
                _LOGGER.exception("a row could not be computed")
            return [error]

    def _advance(self, stream: Stream) -> bool:
        """Write the next piece of a stream; return whether there may be another."""
        if stream.over:
            _close(stream)
            return False
        try:
            if stream.written is None:
                stream.written = self._begin(stream.asked)
            stream.hand_on(next(stream.written))
        except StopIteration as end:
            stream.hand_on(End(end.value))
            return False
        except Exception as error:
            if not isinstance(error, AdapterHubError):
                _LOGGER.exception("a stream broke off")
            stream.hand_on(End(error))
            return False
        return True

    def _begin(self, asked: Asked) -> Generator[str, None, Generated]:
        predictor = self._fleet.predictor(asked.ref)
        if asked.member is not None:
            predictor = predictor.member(asked.member)
        return predictor.stream(asked.input, asked.options)


def _tell(jobs: Sequence[Job]) -> None:
    for job in jobs:
        if not job.done.done():
            job.done.set_result(None)


def _close(stream: Stream) -> None:
    if stream.written is not None:
        stream.written.close()
