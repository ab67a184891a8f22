"""Generate text: greedy by default, in batches padded on the left, every setting our own."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from torch import nn
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from adapterhub_lite.data.batching import batches_by_length
from adapterhub_lite.errors import DataError
from adapterhub_lite_tasks.batching import answering
from adapterhub_lite_tasks.inputs import (
    device_of,
    inner_model,
    is_prompt_learning,
    pad_inputs,
    positions,
)
from adapterhub_lite_tasks.params import GenerationParams
from adapterhub_lite_tasks.settings import GenerationSettings
from adapterhub_lite_tasks.wanted import Decode, Draw, Ended, Wanted, before_stop

ModelOf = Callable[[Sequence[int]], nn.Module]
"""From the numbers of prompts to what is called with a batch of them."""


class Finished(NamedTuple):
    """The text that was generated, without what ended it; "stop" or "length".

    ``written`` counts its tokens, ``read`` those of the prompt.
    """

    text: str
    finish: str
    written: int = 0
    read: int = 0


def generation_settings(
    params: GenerationParams, stops: Sequence[int], seed: int
) -> GenerationSettings:
    """Return what a version keeps of how it generates."""
    return GenerationSettings(
        max_new_tokens=params.max_new_tokens,
        num_beams=params.num_beams,
        temperature=params.sampling_temperature,
        top_p=params.top_p,
        seed=seed,
        stops=tuple(stops),
    )


def generate(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    rows: Sequence[Wanted],
    pad: int,
    decode: Decode,
    *,
    beams: int = 1,
    model_of: ModelOf | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Finished]:
    """Return what a model writes after each prompt, or for each source, in their order.

    ``model_of`` says what answers a batch, where that is not ``model`` for all. A row's text does
    not depend on those beside it. Raises DataError for a prompt that leaves no room.
    """
    rows = within(model, rows, prompts)
    answers: list[Finished] = [Finished("", "length")] * len(prompts)
    done = 0
    with quietly_answering(model):
        for numbers in map(sorted, _batches(model, prompts, rows)):  # an adapter's lie side by side
            batch = [prompts[number] for number in numbers]
            asked = model if model_of is None else model_of(numbers)
            own = [rows[number] for number in numbers]
            written = run(asked, batch, own, pad, decode, beams)
            for number, ids in zip(numbers, written, strict=True):
                found = finish(ids, rows[number], decode)
                answers[number] = found._replace(read=len(prompts[number]))
            done += len(numbers)
            if progress:
                progress(done)
    return answers


@contextmanager
def quietly_answering(model: nn.Module) -> Iterator[None]:
    """Evaluate without gradient, and without a warning that says nothing here."""
    with answering(model), warnings.catch_warnings():
        # PEFT numbers the positions behind a soft prompt itself, which is right without padding.
        warnings.filterwarnings("ignore", message="Position ids are not supported")
        yield


def run(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    rows: Sequence[Wanted],
    pad: int,
    decode: Decode,
    beams: int = 1,
    streamer: BaseStreamer | None = None,
    stopped: StoppingCriteriaList | None = None,
) -> list[list[int]]:
    """Return the tokens that a model writes after each prompt of one batch."""
    config = inner_model(model).config
    features = [{"input_ids": prompt} for prompt in prompts]
    inputs = pad_inputs(features, pad, left=not config.is_encoder_decoder)
    start = 1 if config.is_encoder_decoder else inputs["input_ids"].shape[1]
    device = device_of(model)
    own: dict[str, Any] = {}
    if beams == 1:
        own["stopping_criteria"] = [Ended(rows, start, decode), *(stopped or ())]
        own["stopping_criteria"] = StoppingCriteriaList(own["stopping_criteria"])
    if any(row.temperature > 0 for row in rows):
        own["logits_processor"] = LogitsProcessorList([Draw(rows, device)])
    writer: Any = model
    out = writer.generate(
        **{name: tensor.to(device) for name, tensor in inputs.items()},
        **own,
        generation_config=_config(rows, pad, beams, config.get_text_config().vocab_size),
        streamer=streamer,
    )
    made: list[list[int]] = out[:, start:].tolist()
    return made


def _config(rows: Sequence[Wanted], pad: int, beams: int, vocabulary: int) -> GenerationConfig:
    """Return a config that leaves nothing to the base's own: it was made for another task.

    Each row ends by its own criteria; a token that ends the rows has to be named all the same, and
    where they have not the same ones it is one that does not exist.
    """
    stops = {row.stops for row in rows}
    return GenerationConfig(
        max_new_tokens=max(row.max_new_tokens for row in rows),
        min_length=0,
        num_beams=beams,
        do_sample=False,
        temperature=1.0,
        top_p=1.0,
        top_k=50,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        length_penalty=1.0,
        early_stopping=False,
        eos_token_id=list(*stops) if len(stops) == 1 else [vocabulary],
        pad_token_id=pad,
    )


def _batches(
    model: nn.Module, prompts: Sequence[Sequence[int]], rows: Sequence[Wanted]
) -> Iterator[list[int]]:
    """Yield numbers of prompts whose longest has room for the longest text of any."""
    # Soft prompts stand in front of the padding: positions would shift by how much there is of it.
    equal = is_prompt_learning(model)
    limit = None if inner_model(model).config.is_encoder_decoder else positions(model)
    for numbers in batches_by_length([len(prompt) for prompt in prompts], equal=equal):
        longest = max(len(prompts[number]) for number in numbers)
        steps = max(rows[number].max_new_tokens for number in numbers)
        if limit is None or longest + steps <= limit:
            yield numbers
        else:
            yield from ([number] for number in numbers)


def within(
    model: nn.Module, rows: Sequence[Wanted], prompts: Sequence[Sequence[int]]
) -> list[Wanted]:
    """Return how rows are generated, no text longer than its prompt leaves room for."""
    limit = positions(model)
    if limit is None:
        return [*rows]
    alone = inner_model(model).config.is_encoder_decoder
    return [
        _within(limit, row, 1 if alone else len(prompt))
        for row, prompt in zip(rows, prompts, strict=True)
    ]


def _within(limit: int, row: Wanted, taken: int) -> Wanted:
    if limit - taken < 1:
        raise DataError(
            f"a prompt of {taken} tokens fills the model's {limit} positions",
            hint="shorten it: nothing could be generated",
        )
    return replace(row, max_new_tokens=min(row.max_new_tokens, limit - taken))


def finish(tokens: Sequence[int], row: Wanted, decode: Decode) -> Finished:
    """Return the text before what ends it, and whether anything did but its length."""
    own = list(tokens[: row.max_new_tokens])
    ends = [number for number, token in enumerate(own) if token in row.stops]
    kept = own[: ends[0]] if ends else own
    text, stopped = before_stop(decode(kept), row.stop)
    return Finished(text, "stop" if ends or stopped else "length", len(kept))
