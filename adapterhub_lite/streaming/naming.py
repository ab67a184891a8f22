"""What a tensor's name tells: its layer, and its part of the model."""

import re
from collections.abc import Iterable
from typing import Final, Literal

from adapterhub_lite.streaming.tensors import Layer

Role = Literal["embeddings", "norm", "head", "layer", "other"]

LAYER: Final = re.compile(r"^(?P<stack>.*?(?:^|\.)(?:layers?|h|blocks?|block))\.(?P<number>\d+)\.")
"""``model.layers.3.``, ``transformer.h.3.``, ``bert.encoder.layer.3.``, ``encoder.block.3.``"""
HEAD: Final = re.compile(
    r"(^|\.)(lm_head|embed_out|classifier|score|qa_outputs|cls|pooler|pre_classifier|output_layer"
    r"|classification_head|generator_lm_head|lm_loss|vocab_\w+|predictions|\w+_predictions"
    r"|sequence_summary|logits_proj|head)(\.|$)"
)
EMBEDDINGS: Final = re.compile(r"(^|[._])(embed\w*|wte|wpe|shared|tok_embeddings)(\.|$)")
NORM: Final = re.compile(r"(norm|(^|\.)ln_\w+)", re.IGNORECASE)


def layers_of(names: Iterable[str]) -> dict[str, Layer]:
    """Return the layer of each tensor that is in one; an encoder's and a decoder's count apart."""
    found = {name: match for name in names if (match := LAYER.match(name))}
    counts: dict[str, int] = {}
    for match in found.values():
        stack = match["stack"]
        counts[stack] = max(counts.get(stack, 0), int(match["number"]) + 1)
    return {
        name: Layer(int(match["number"]), counts[match["stack"]]) for name, match in found.items()
    }


def role_of(name: str) -> Role:
    """Return which part of a model a tensor belongs to, by its name."""
    if LAYER.match(name):
        return "layer"
    if HEAD.search(name):
        return "head"
    if EMBEDDINGS.search(name) and not NORM.search(name):
        return "embeddings"
    return "norm" if NORM.search(name) else "other"
