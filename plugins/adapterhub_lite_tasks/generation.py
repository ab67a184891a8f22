"""Generate text: greedy by default, in batches padded on the left, every setting our own."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig

from adapterhub_lite.errors import DataError
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite_tasks.batching import answering, batches_by_length
from adapterhub_lite_tasks.inputs import (
    device_of,
    inner_model,
    is_prompt_learning,
    pad_inputs,
    positions,
)
from adapterhub_lite_tasks.params import GenerationParams
from adapterhub_lite_tasks.settings import GenerationSettings

Finished = tuple[list[int], str]
"""The tokens that were generated, without the one that ended them; "stop" or "length"."""


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
    settings: GenerationSettings,
    pad: int,
    progress: Callable[[int], None] | None = None,
) -> list[Finished]:
    """Return what a model writes after each prompt, or for each source, in their order.

    Sampling is seeded by the batch's place, so equal calls give equal texts. Raises DataError for a
    prompt that leaves no room.
    """
    answers: list[Finished] = [([], "length")] * len(prompts)
    done = 0
    # Soft prompts stand in front of the padding: positions would shift by how much there is of it.
    equal = is_prompt_learning(model)
    lengths = [len(prompt) for prompt in prompts]
    with answering(model), torch.random.fork_rng(), warnings.catch_warnings():
        # PEFT numbers the positions behind a soft prompt itself, which is right without padding.
        warnings.filterwarnings("ignore", message="Position ids are not supported")
        for numbers in batches_by_length(lengths, equal=equal):
            torch.manual_seed(settings.seed + done)
            batch = [{"input_ids": prompts[number]} for number in numbers]
            for number, found in zip(numbers, _batch(model, batch, settings, pad), strict=True):
                answers[number] = found
            done += len(numbers)
            if progress:
                progress(done)
    return answers


def _batch(
    model: nn.Module, features: Sequence[Feature], settings: GenerationSettings, pad: int
) -> list[Finished]:
    config = inner_model(model).config
    inputs = pad_inputs(features, pad, left=not config.is_encoder_decoder)
    length = inputs["input_ids"].shape[1]
    room = _room(model, 1 if config.is_encoder_decoder else length, settings.max_new_tokens)
    given = {name: tensor.to(device_of(model)) for name, tensor in inputs.items()}
    writer: Any = model
    out = writer.generate(**given, generation_config=_config(settings, room, pad))
    start = 1 if config.is_encoder_decoder else length
    return [_finish(row, settings.stops) for row in out[:, start:].tolist()]


def _room(model: nn.Module, taken: int, wanted: int) -> int:
    limit = positions(model)
    room = wanted if limit is None else min(wanted, limit - taken)
    if room < 1:
        raise DataError(
            f"a prompt of {taken} tokens fills the model's {limit} positions",
            hint="shorten it: nothing could be generated",
        )
    return room


def _config(settings: GenerationSettings, room: int, pad: int) -> GenerationConfig:
    """Return a config that leaves nothing to the base's own: it was made for another task."""
    sampling = settings.temperature > 0
    return GenerationConfig(
        max_new_tokens=room,
        min_length=0,
        num_beams=settings.num_beams,
        do_sample=sampling,
        temperature=settings.temperature if sampling else 1.0,
        top_p=settings.top_p,
        top_k=0 if sampling else 50,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        length_penalty=1.0,
        early_stopping=False,
        eos_token_id=list(settings.stops),
        pad_token_id=pad,
    )


def _finish(tokens: list[int], stops: Sequence[int]) -> Finished:
    for number, token in enumerate(tokens):
        if token in stops:
            return tokens[:number], "stop"
    return tokens, "length"
