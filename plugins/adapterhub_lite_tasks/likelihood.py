"""How likely a model finds given text: the one loss of all objectives that write."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite_tasks.batching import answer
from adapterhub_lite_tasks.inputs import IGNORED, inner_model, pad_inputs, pad_rows

Batch = Mapping[str, torch.Tensor]
Collate = Callable[[Sequence[Feature]], Batch]


def decoder_batch(features: Sequence[Feature], pad: int) -> dict[str, torch.Tensor]:
    """Pad features of ``input_ids`` and, at the same positions, ``labels`` on the right."""
    labels = pad_rows([feature["labels"] for feature in features], IGNORED)
    return {**pad_inputs(features, pad), "labels": labels}


def sequence_batch(features: Sequence[Feature], pad: int, start: int) -> dict[str, torch.Tensor]:
    """Pad sources and targets; the decoder reads the targets one place later, behind ``start``."""
    labels = pad_rows([feature["labels"] for feature in features], IGNORED)
    shifted = torch.full_like(labels, start)
    shifted[:, 1:] = labels[:, :-1]
    read = shifted.masked_fill(shifted == IGNORED, pad)
    return {**pad_inputs(features, pad), "labels": labels, "decoder_input_ids": read}


def targets(batch: Batch) -> torch.Tensor:
    """Return what each of the decoder's outputs is to foretell (rows, tokens), or -100."""
    labels = batch["labels"]
    if "decoder_input_ids" in batch:
        return labels
    following = torch.full_like(labels, IGNORED)
    following[:, :-1] = labels[:, 1:]
    return following


def logits_of(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Return (rows, tokens, vocabulary); soft prompts' positions stand in front, and are left out.

    A packed batch has ``position_ids`` and ``segments``: tokens see only their own segment.
    """
    names = ("input_ids", "attention_mask", "decoder_input_ids", "position_ids")
    inputs: dict[str, Any] = {name: batch[name] for name in names if name in batch}
    if "segments" in batch:
        inputs["attention_mask"] = block_mask(batch["segments"], inner_model(model).dtype)
    if inner_model(model).config.is_encoder_decoder is False:
        inputs["use_cache"] = False
    logits: torch.Tensor = model(**inputs).logits
    return logits[:, -batch["labels"].shape[1] :]


def block_mask(segments: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return an additive mask (rows, 1, tokens, tokens): causal, and within a segment.

    ``segments`` (rows, tokens) numbers them from 1; padding is 0, and sees only itself.
    """
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    same = segments[:, :, None] == segments[:, None, :]
    seen = (same & causal)[:, None]
    return torch.zeros(seen.shape, dtype=dtype, device=segments.device).masked_fill(
        ~seen, torch.finfo(dtype).min
    )


def summed_loss(model: nn.Module, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:
    """Return the cross-entropy summed over all tokens that are learnt, in nats and float32."""
    wanted = targets(batch)
    learnt = wanted != IGNORED
    # Only the learnt positions become float32: a vocabulary is wide, and a prompt long.
    logits = logits_of(model, batch)[learnt].float()
    return functional.cross_entropy(
        logits, wanted[learnt], label_smoothing=smoothing, reduction="sum"
    )


def count_learnt(batch: Batch) -> torch.Tensor:
    """Return how many tokens of a batch are learnt, a scalar."""
    return (targets(batch) != IGNORED).sum()


def row_losses(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Return (rows, 2): the summed cross-entropy in nats, and the number of tokens."""
    wanted = targets(batch)
    logits = logits_of(model, batch).float().transpose(1, 2)
    losses = functional.cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="none")
    return torch.stack([losses.double().sum(1), (wanted != IGNORED).sum(1).double()], dim=1)


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Scores features that belong to rows."""

    model: nn.Module
    collate: Collate

    def __call__(
        self,
        features: Sequence[Feature],
        rows: int,
        progress: Callable[[int], None] | None = None,
    ) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """Return (rows, 2): each row's negative log-likelihood in nats, and its tokens."""
        counted = None if progress is None else lambda done: progress(min(done, rows))
        found = answer(self.model, features, self.collate, row_losses, counted)
        table = np.zeros((rows, 2))
        for feature, pair in zip(features, found, strict=True):
            table[feature["row"]] += pair
        return table


def per_token(table: "np.ndarray[Any, np.dtype[np.float64]]") -> dict[str, float]:
    """Return the mean log-likelihood a token, and the perplexity, of scores (rows, 2)."""
    nats, tokens = table.sum(0)
    mean = float(nats / max(tokens, 1))
    return {"log_likelihood": -mean, "perplexity": float(np.exp(min(mean, 700.0)))}
