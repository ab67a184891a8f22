"""A text piece by piece, as it is written: transformers writes in a thread, and waits to be read.

A piece is held back as long as further tokens could change it: the end of a text that is no whole
character, or that could become one of the texts to stop before.
"""

from collections.abc import Generator, Sequence
from contextlib import suppress
from itertools import takewhile
from queue import Full, Queue
from threading import Event, Thread
from typing import Any

import torch
from torch import nn
from transformers import StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from adapterhub_lite_tasks.generation import Finished, finish, quietly_answering, run, within
from adapterhub_lite_tasks.wanted import Decode, Uncopied, Wanted

PATIENCE = 0.1
"""Seconds after which a writer that nobody reads looks whether anybody ever will."""


class _Tokens(Uncopied, BaseStreamer):  # type: ignore[misc]
    """Hands one token at a time over to a reader; transformers calls it."""

    def __init__(self) -> None:
        self.queue: Queue[int | BaseException | None] = Queue(maxsize=1)
        self.left = Event()
        self._begun = False

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt, then tokens."""
        if self._begun:
            self.give(int(value.flatten()[0]))
        self._begun = True

    def end(self) -> None:
        """Take that there are no more; the thread says so itself."""

    def give(self, item: int | BaseException | None) -> None:
        """Wait until the reader takes it, or has left."""
        while not self.left.is_set():
            with suppress(Full):
                self.queue.put(item, timeout=PATIENCE)
                return


class _Left(Uncopied, StoppingCriteria):  # type: ignore[misc]
    """Ends a text that nobody reads any more."""

    def __init__(self, left: Event) -> None:
        self._left = left

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Return flags (rows,)."""
        return torch.full((len(input_ids),), self._left.is_set(), device=input_ids.device)


def stream(
    model: nn.Module, prompt: Sequence[int], row: Wanted, pad: int, decode: Decode
) -> Generator[str, None, Finished]:
    """Yield the pieces of a text, and return the whole; a reader that stops reading ends it.

    Raises DataError for a prompt that leaves no room.
    """
    (row,) = within(model, [row], [prompt])
    tokens = _Tokens()

    def write() -> None:
        try:
            with quietly_answering(model):
                left = StoppingCriteriaList([_Left(tokens.left)])
                run(model, [prompt], [row], pad, decode, streamer=tokens, stopped=left)
            tokens.give(None)
        except BaseException as error:  # the reader's to raise, whatever it is
            tokens.give(error)

    thread = Thread(target=write, name="generate", daemon=True)
    thread.start()
    try:
        made = yield from _pieces(tokens.queue, row, decode)
        return finish(made, row, decode)._replace(read=len(prompt))
    finally:
        tokens.left.set()
        thread.join()


def _pieces(
    queue: "Queue[int | BaseException | None]", row: Wanted, decode: Decode
) -> Generator[str, None, list[int]]:
    made: list[int] = []
    given, before = "", ""
    held = max((len(word) - 1 for word in row.stop), default=0)
    while (item := queue.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        made.append(item)
        text = finish(made, row, decode).text
        settled = _shared(before, text)
        settled = settled[: len(settled) - held].rstrip().rstrip("\ufffd")
        before = text
        if settled.startswith(given) and settled != given:
            yield settled[len(given) :]
            given = settled
    if len(before) > len(given):
        yield before[len(given) :]
    return made


def _shared(one: str, other: str) -> str:
    """Return what two texts begin with."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return "".join(letter for letter, _ in pairs)
