"""Texts to token ids, and token ids to what a model is called with."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import MODEL_FOR_MASKED_LM_MAPPING

from adapterhub_lite import transformer
from adapterhub_lite.errors import BaseModelError, CapabilityError, DataError
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite.protocols import Attached, LoadedBase, Run

Base = Attached | LoadedBase
IGNORED = -100
"""The label of a position that is not learnt."""


def inner_model(model: nn.Module) -> Any:
    """Return the transformers model inside of a PEFT wrapper, or the model itself."""
    unwrap = getattr(model, "get_base_model", None)
    return unwrap() if callable(unwrap) else model


def is_decoder(config: Any) -> bool:
    """Say whether a model reads from left to right only: a token sees what stands before it."""
    masked = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(
        config, "is_decoder", False
    )
    return not (masked or config.is_encoder_decoder)


def is_prompt_learning(model: nn.Module) -> bool:
    """Say whether a PEFT method puts virtual tokens, or keys and values of them, in front."""
    config = getattr(model, "active_peft_config", None)
    return bool(getattr(config, "is_prompt_learning", False))


def device_of(model: nn.Module) -> torch.device:
    """Return where the weights are."""
    weight: torch.Tensor = next(model.parameters())
    return weight.device


def reads_segments(model: nn.Module) -> bool:
    """Say whether a model tells the texts of a pair apart by token types.

    GPT-2 takes ``token_type_ids`` too, but as words; RoBERTa's table has one type only.
    """
    inner = inner_model(model)
    accepted = inspect.signature(inner.forward).parameters
    return "token_type_ids" in accepted and getattr(inner.config, "type_vocab_size", 0) > 1


def positions(model: nn.Module) -> int | None:
    """Return how many tokens an input may have, and None for any; soft prompts take positions."""
    config = getattr(model, "active_peft_config", None)
    virtual = int(getattr(config, "num_virtual_tokens", 0) or 0)
    limit = transformer.positions(inner_model(model))
    return None if limit is None else limit - virtual


def longest_input(model: nn.Module, wanted: int) -> int:
    """Return ``wanted``, or what the model's positions allow if that is less."""
    limit = positions(model)
    return wanted if limit is None else min(wanted, limit)


def padding_token(base: Base) -> int:
    """Return the token that pads; raises BaseModelError where model and tokenizer differ in it."""
    config = inner_model(base.model).config
    chosen = base.tokenizer.pad_token_id
    if chosen is None or config.pad_token_id != chosen:
        raise BaseModelError(
            f"the tokenizer pads with {chosen} and the model expects {config.pad_token_id}",
            ref=str(base.path),
            hint="set pad_token in tokenizer_config.json and pad_token_id in config.json alike",
        )
    return int(chosen)


def end_token(base: Base) -> int:
    """Return the token that ends a text: the tokenizer's, else the config's.

    Raises BaseModelError where there is none: a model would never learn to stop.
    """
    configured = inner_model(base.model).config.eos_token_id
    for token in (base.tokenizer.eos_token_id, configured, base.tokenizer.sep_token_id):
        if isinstance(token, int):
            return token
    raise BaseModelError(
        "the tokenizer has no end-of-text token",
        ref=str(base.path),
        hint="set eos_token in tokenizer_config.json",
    )


def require_fast(base: Base, what: str) -> None:
    """Refuse a tokenizer that does not say which characters a token stands for."""
    if not base.tokenizer.is_fast:
        raise CapabilityError(
            f"{what} needs a fast tokenizer, and {type(base.tokenizer).__name__} is not",
            hint="use a base with a tokenizer.json",
        )


def report_cut(run: Run | None, rows: int, total: int, limit: int) -> None:
    """Tell how many rows lost text because they are longer than ``limit`` tokens."""
    if run is not None and rows:
        run.emit("truncated", rows=rows, of=total, max_length=limit)


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """Tokenises texts and pairs of texts.

    ``segments``: token types are wanted. ``end``: the token that an encoder-decoder is read at; it
    is the last of every row.
    """

    tokenizer: Any
    max_length: int
    pad: int
    segments: bool
    end: int | None = None

    def encode(self, inputs: Sequence[Any], run: Run | None = None) -> list[Feature]:
        """Return a feature an input, cut at ``max_length``; ``run`` is told how many were cut."""
        if not inputs:
            return []
        encoded = self._tokenise(inputs)
        features: list[Feature] = []
        for row, ids in enumerate(encoded["input_ids"]):
            tokens = self._ended(ids, encoded["special_tokens_mask"][row]) or [self.pad]
            feature: dict[str, Any] = {"input_ids": tokens, "length": len(tokens), "row": row}
            if self.segments:
                types = encoded["token_type_ids"][row]
                feature["token_type_ids"] = (types + types[-1:] * len(tokens))[: len(tokens)]
            features.append(feature)
        self._report(inputs, features, run)
        return features

    def _tokenise(self, inputs: Sequence[Any]) -> Any:
        return self.tokenizer(
            *_columns(inputs),
            truncation=True,
            max_length=self.max_length,
            return_attention_mask=False,
            return_special_tokens_mask=True,
            return_token_type_ids=self.segments,
        )

    def _ended(self, ids: list[int], added: list[int]) -> list[int]:
        """Drop end tokens that a text spells out: all rows have to have as many of them."""
        if self.end is None:
            return list(ids)
        kept = [t for t, is_added in zip(ids, added, strict=True) if is_added or t != self.end]
        return kept if kept[-1:] == [self.end] else [*kept[: self.max_length - 1], self.end]

    def _report(self, inputs: Sequence[Any], features: Sequence[Feature], run: Run | None) -> None:
        full = [f["row"] for f in features if f["length"] >= self.max_length]
        if run is None or not full:
            return
        whole = self.tokenizer(*_columns([inputs[row] for row in full]))["input_ids"]
        cut = sum(len(ids) > self.max_length for ids in whole)
        report_cut(run, cut, len(inputs), self.max_length)


def require_form(inputs: Sequence[Any], pairs: bool | None) -> None:
    """Refuse texts where pairs were learnt, and the other way; None allows both.

    Raises DataError: a model asked in a form that it has not learnt answers, and wrongly.
    """
    if pairs is None:
        return
    for number, text in enumerate(inputs, start=1):
        if isinstance(text, str) == pairs:
            learnt, given = ("pairs of texts", "one text") if pairs else ("single texts", "a pair")
            raise DataError(
                f"the model learnt from {learnt}, and input {number} is {given}",
                hint="give the second text too" if pairs else "give one text",
            )


def _columns(inputs: Sequence[Any]) -> list[list[str]]:
    """Return the texts, or the first and the second texts of pairs."""
    single = [isinstance(text, str) for text in inputs]
    if any(single) and not all(single):
        raise DataError("some inputs are texts and some are pairs of texts")
    if all(single):
        return [list(inputs)]
    return [list(column) for column in zip(*inputs, strict=True)]


def text_encoder(base: Base, max_length: int) -> TextEncoder:
    """Return the encoder of a base; raises BaseModelError for a base that cannot be padded."""
    inner = inner_model(base.model)
    pad = padding_token(base)
    end = inner.config.eos_token_id if inner.config.is_encoder_decoder else None
    if inner.config.is_encoder_decoder and end in (None, pad):
        raise BaseModelError(
            "the model is read at its end token, and has none of its own",
            ref=str(base.path),
            hint="set eos_token_id in config.json, to another token than pad_token_id",
        )
    length = longest_input(base.model, max_length)
    return TextEncoder(base.tokenizer, length, pad, reads_segments(base.model), end)


def pad_rows(rows: Sequence[Sequence[int]], value: int, *, left: bool = False) -> torch.Tensor:
    """Return integers (rows, longest), filled up with ``value`` on the right, or the left."""
    longest = max(map(len, rows))
    fills = [[value] * (longest - len(row)) for row in rows]
    pairs = zip(rows, fills, strict=True)
    return torch.tensor([[*fill, *row] if left else [*row, *fill] for row, fill in pairs])


def pad_inputs(
    features: Sequence[Feature], pad: int, *, left: bool = False
) -> dict[str, torch.Tensor]:
    """Return ``input_ids``, ``attention_mask`` and, if features have them, ``token_type_ids``."""
    rows = [feature["input_ids"] for feature in features]
    batch = {
        "input_ids": pad_rows(rows, pad, left=left),
        "attention_mask": pad_rows([[1] * len(row) for row in rows], 0, left=left),
    }
    if "token_type_ids" in features[0]:
        batch["token_type_ids"] = pad_rows([f["token_type_ids"] for f in features], 0, left=left)
    return batch


MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def call(model: nn.Module, batch: Mapping[str, torch.Tensor]) -> Any:
    """Call a model with what of a batch it reads; labels stay outside, so losses are ours."""
    return model(**{name: batch[name] for name in MODEL_INPUTS if name in batch})
