"""How each row's text is generated: which token comes next, and when it ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

import torch
from transformers import (
    LogitsProcessor,
    StoppingCriteria,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from adapterhub_lite.protocols import GenerationOptions
from adapterhub_lite_tasks.settings import GenerationSettings

Decode = Callable[[Sequence[int]], str]
N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How one row is generated; ``stops`` are tokens and ``stop`` texts, before which it ends."""

    max_new_tokens: int
    temperature: float
    top_p: float
    top_k: int
    seed: int
    stops: tuple[int, ...]
    stop: tuple[str, ...] = ()


def wanted(settings: GenerationSettings, options: GenerationOptions | None = None) -> Wanted:
    """Return a version's own settings, where the options have no other."""
    given = options or GenerationOptions()

    return Wanted(
        _chosen(given.max_new_tokens, settings.max_new_tokens),
        _chosen(given.temperature, settings.temperature),
        _chosen(given.top_p, settings.top_p),
        _chosen(given.top_k, 0),
        _chosen(given.seed, settings.seed),
        settings.stops,
        given.stop,
    )


def _chosen(option: N | None, own: N) -> N:
    return own if option is None else option


class Uncopied:
    """What a call of ``generate`` is given as it is: PEFT copies some calls, tokenizer and all."""

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """Return this very object."""
        return self


class Draw(Uncopied, LogitsProcessor):  # type: ignore[misc]
    """Draws the next token of each row that samples, from a generator of its own.

    So what a row draws does not depend on the rows beside it.
    """

    def __init__(self, rows: Sequence[Wanted], device: torch.device) -> None:
        self._rows = rows
        self._generators = [torch.Generator(device).manual_seed(row.seed) for row in rows]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.Tensor:
        """Return the scores (rows, tokens), of rows that sample with the drawn token alone."""
        chosen = scores.clone()
        for number, row in enumerate(self._rows):
            if row.temperature > 0:
                own = _warped(input_ids[number : number + 1], scores[number : number + 1], row)
                probabilities = own.float().softmax(-1)
                token = torch.multinomial(probabilities, 1, generator=self._generators[number])
                chosen[number] = -torch.inf
                chosen[number, int(token)] = 0.0
        return chosen


def _warped(ids: torch.Tensor, scores: torch.Tensor, row: Wanted) -> torch.Tensor:
    scores = TemperatureLogitsWarper(row.temperature)(ids, scores)
    if row.top_k:
        scores = TopKLogitsWarper(row.top_k)(ids, scores)
    if row.top_p < 1:
        scores = TopPLogitsWarper(row.top_p)(ids, scores)
    return scores


class Ended(Uncopied, StoppingCriteria):  # type: ignore[misc]
    """Says of each row whether its text has ended."""

    def __init__(self, rows: Sequence[Wanted], start: int, decode: Decode) -> None:
        self._rows, self._start, self._decode = rows, start, decode

    def __call__(
        self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: object
    ) -> torch.Tensor:
        """Return flags (rows,)."""
        made = input_ids[:, self._start :].tolist()
        ended = [self._has_ended(row, ids) for row, ids in zip(self._rows, made, strict=True)]
        return torch.tensor(ended, device=input_ids.device)

    def _has_ended(self, row: Wanted, ids: list[int]) -> bool:
        if len(ids) >= row.max_new_tokens or ids[-1] in row.stops:
            return True
        return bool(row.stop) and before_stop(self._decode(ids), row.stop)[1]


def before_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """Return the text before the first of some texts, and whether there is one."""
    places = [place for word in stop if (place := text.find(word)) >= 0]
    return (text[: min(places)], True) if places else (text, False)
