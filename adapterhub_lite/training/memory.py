"""How much memory a training takes, told from tensor headers and parameters alone."""

import json
import re
from dataclasses import dataclass
from typing import Final

from adapterhub_lite.architecture import Architecture
from adapterhub_lite.specs import Head, LoaderSpec, MethodSpec, Params

FLOAT_BYTES: Final = 4
"""An adapter's weights, its gradients and activations are in float32."""
OPTIMISER_BYTES: Final = {"adamw": 8.0, "adamw-8bit": 2.0, "adafactor": 0.5, "sgd": 0.0}
"""Optimiser → bytes of state for a trainable weight in float32. Adafactor keeps a number for each
row and each column of a matrix: next to nothing of a square one, and more of a LoRA's thin ones."""
BYTES_PER_WIDTH: Final = 68
"""Bytes that a layer keeps for the way back, for each token and unit of width, in float32: twice
those of Korthikanti et al. (2022, arXiv:2205.05198, equation 2) without its attention scores."""
SCORE_BYTES: Final = 24
"""Bytes kept for each attention score where there is dropout: on a CPU torch then writes them out.
Measured on MiniLM, with batches of 8 rows of 256 and 32 of 128 tokens."""
SCORE_DROPOUTS: Final = (
    "attention_probs_dropout_prob",
    "attention_dropout",
    "attn_pdrop",
    "dropout_rate",
)
HEADS: Final = ("num_attention_heads", "n_head", "num_heads", "n_heads")
LENGTHS: Final = (
    ("max_length",),
    ("block_size",),
    ("max_source_length", "max_target_length"),
)
"""The parameters by which objectives say how many tokens a row may have."""
LOGIT_COPIES: Final = 3
"""A language model's logits, their softmax, and the gradient."""

_NUMBERED = re.compile(r"(^|\.)\d+\.")
_TABLE = re.compile(r"embed|relative_attention_bias|\.w[tp]e\.")


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes of a training.

    ``weights`` are the base's and what a method adds; ``gradients`` and ``optimiser`` belong to the
    weights that learn. ``activations`` are rough and count batches of the longest rows that are
    allowed; None where the objective does not say how long rows may be.
    """

    weights: int
    gradients: int
    optimiser: int
    activations: int | None

    @property
    def total(self) -> int:
        """All that is known together."""
        return self.weights + self.gradients + self.optimiser + (self.activations or 0)


def estimate_memory(
    architecture: Architecture,
    head: Head,
    loader: LoaderSpec,
    method: MethodSpec,
    objective: Params,
    trainable: int,
    longest: int | None = None,
) -> MemoryEstimate:
    """Estimate from the loader's bytes, the weights that learn, the optimiser and the batch.

    ``longest`` is the longest row in tokens, where that is known; else rows fill the limit.
    """
    other = loader.bytes_per_parameter if loader.other_bytes is None else loader.other_bytes
    each = FLOAT_BYTES if method.needs_base else other
    added = trainable * FLOAT_BYTES if method.needs_base else 0
    state = OPTIMISER_BYTES[getattr(objective, "optimizer", "adamw")]
    return MemoryEstimate(
        weights=weight_bytes(architecture, loader.bytes_per_parameter, other) + added,
        gradients=int(trainable * each),
        optimiser=int(trainable * state * each / FLOAT_BYTES),
        activations=_activations(architecture, head, objective, longest),
    )


def weight_bytes(architecture: Architecture, linear: float, other: float) -> int:
    """Return the bytes of a base: ``linear`` for a weight of a linear layer, ``other`` elsewhere.

    A linear layer is a matrix within a numbered layer that is no table of embeddings.
    """
    in_linear = sum(
        info.size
        for name, info in architecture.tensors.items()
        if len(info.shape) == 2 and _NUMBERED.search(name) and not _TABLE.search(name)
    )
    return int(in_linear * linear + (architecture.parameters - in_linear) * other)


def _activations(
    architecture: Architecture, head: Head, objective: Params, longest: int | None
) -> int | None:
    length = _longest_row(objective)
    if length is None:
        return None
    if longest is not None and not getattr(objective, "packing", False):
        length = min(length, longest)
    tokens = length * int(getattr(objective, "batch_size", 1))
    half = getattr(objective, "precision", "fp32") != "fp32"
    width = architecture.hidden_size
    a_layer = tokens * (width * BYTES_PER_WIDTH + length * _kept_heads(architecture) * SCORE_BYTES)
    a_layer //= 2 if half else 1
    layers = architecture.layers * a_layer
    if getattr(objective, "gradient_checkpointing", False):
        # Kept are the layers' inputs; within a layer only of the one that is computed anew.
        layers = architecture.layers * tokens * width * FLOAT_BYTES + a_layer
    return layers + _logits(architecture, head, tokens)


def _kept_heads(architecture: Architecture) -> int:
    """Return how many heads' attention scores are kept: all with dropout on them, else none."""
    config = json.loads((architecture.folder / "config.json").read_text(encoding="utf-8"))
    if not any(config.get(name) for name in SCORE_DROPOUTS):
        return 0
    return next((int(config[name]) for name in HEADS if isinstance(config.get(name), int)), 0)


def _longest_row(objective: Params) -> int | None:
    for names in LENGTHS:
        found = [getattr(objective, name, None) for name in names]
        known = [length for length in found if isinstance(length, int)]
        if len(known) == len(names):
            return sum(known)
    return None


def _logits(architecture: Architecture, head: Head, tokens: int) -> int:
    """Return the bytes of a number for each word of the vocabulary, for language models."""
    if head.kind not in ("causal-lm", "seq2seq-lm"):
        return 0
    tables = (info.shape[0] for info in architecture.tensors.values() if len(info.shape) == 2)
    return tokens * max(tables, default=0) * FLOAT_BYTES * LOGIT_COPIES
