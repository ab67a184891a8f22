"""Which tensor is a language model's output layer, and which its embeddings: often they are one."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from adapterhub_lite.streaming.headers import TensorShape
from adapterhub_lite.streaming.naming import LAYER
from adapterhub_lite.streaming.token_tensors import INPUT
from adapterhub_lite.streaming.token_tensors import OUTPUT as BY_TOKEN

OUTPUT: Final = re.compile(
    r"^((\w+\.)?lm_head|lm_head\.decoder|embed_out|cls\.predictions\.decoder|predictions\.decoder"
    r"|generator_lm_head|vocab_projector|lm_loss|output_layer|decoder)\.weight$"
)
"""Output layers that can be the embeddings."""
IMPLIED: Final = (
    ("cls.predictions.", "cls.predictions.decoder.weight"),
    ("lm_head.dense.", "lm_head.decoder.weight"),
    ("vocab_transform.", "vocab_projector.weight"),
    ("generator_predictions.", "generator_lm_head.weight"),
    ("predictions.", "predictions.decoder.weight"),
)
"""What other parts of an encoder's output head are called → its output layer."""
ALIASES: Final = (
    ("cls.predictions.decoder.bias", "cls.predictions.bias"),
    ("lm_head.decoder.bias", "lm_head.bias"),
    ("predictions.decoder.bias", "predictions.bias"),
    ("encoder.embed_tokens.weight", "shared.weight"),
    ("decoder.embed_tokens.weight", "shared.weight"),
    ("model.encoder.embed_tokens.weight", "model.shared.weight"),
    ("model.decoder.embed_tokens.weight", "model.shared.weight"),
)
"""Two names of one tensor, whatever the config says."""
LANGUAGE_MODELS: Final = re.compile(
    r"CausalLM|LMHead|MaskedLM|ConditionalGeneration|PreTraining|DoubleHeads"
)


def is_output_layer(name: str) -> bool:
    """Say whether a tensor's name is that of an output layer's weight."""
    return bool(OUTPUT.match(name))


def is_vocabulary(name: str) -> bool:
    """Say whether a tensor may have one row, or number, for each token."""
    return not LAYER.match(name) and bool(INPUT.search(name) or BY_TOKEN.search(name))


def input_embeddings(tensors: Mapping[str, TensorShape]) -> str | None:
    """Return the name of the tokens' embeddings, or None where it cannot be told."""
    found = [name for name in tensors if INPUT.search(name) and not LAYER.match(name)]
    shared = [name for name in found if name.endswith("shared.weight")]
    choices = shared or found
    return choices[0] if len(choices) == 1 else None


def may_be_tied(config: Mapping[str, Any]) -> bool:
    """Say whether a language model without an output layer in its files has its embeddings for one.

    A config that does not say counts as tied: so every one was read for years.
    """
    named = config.get("architectures")
    classes = named if isinstance(named, list) else []
    headless = classes and not any(LANGUAGE_MODELS.search(str(name)) for name in classes)
    return config.get("tie_word_embeddings") is not False and not headless


def has_output_head(output: str, names: Collection[str]) -> bool:
    """Say whether a model has the other parts of the head that an output layer belongs to.

    A decoder's output layer is its whole head.
    """
    beginnings = [beginning for beginning, implied in IMPLIED if implied == output]
    return not beginnings or any(name.startswith(beginnings[0]) for name in names)


def implied_output(names: Collection[str], config: Mapping[str, Any]) -> str | None:
    """Return the name of the output layer that tied embeddings stand for.

    None for a model that is not tied, and for an encoder without an output head.
    """
    if not may_be_tied(config):
        return None
    for beginning, output in IMPLIED:
        if any(name.startswith(beginning) for name in names):
            return None if output in names else output
    named = config.get("architectures")
    classes = " ".join(map(str, named)) if isinstance(named, list) else ""
    if not re.search(r"CausalLM|LMHead|ConditionalGeneration|DoubleHeads", classes):
        return None
    output = "embed_out.weight" if config.get("model_type") == "gpt_neox" else "lm_head.weight"
    return None if output in names else output
