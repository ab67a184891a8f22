"""Which tensors of a model have a row for each token of its vocabulary, by name and size."""

import re
from typing import Final

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.streaming.naming import LAYER
from adapterhub_lite.streaming.sources import Source

INPUT: Final = re.compile(
    r"(^|\.)(embed_tokens|word_embeddings?|wte|tok_embeddings|tokens_embed|shared|embed_in"
    r"|embeddings?)\.weight$"
)
"""Names of token embeddings."""
OUTPUT: Final = re.compile(
    r"(^|\.)(lm_head(\.decoder)?|embed_out|output_layer|output|output_projection|generator_lm_head"
    r"|lm_loss|vocab_projector|pred_layer\.proj|predictions(\.decoder)?|decoder|head"
    r"|embed_tokens_per_layer)\.(weight|bias)$|(^|\.)final_logits_bias$"
)
"""Names of what may have one row, or one number, for each token; its size tells whether it does."""
SURELY: Final = re.compile(r"(^|\.)(lm_head|embed_out|embed_tokens_per_layer)\.weight$")
"""Names of what has one row for each token whatever its size."""


def vocabulary_rows(source: Source) -> int | None:
    """Return how many tokens a model has embeddings for; None where none are found.

    Raises CapabilityError for a model with several vocabularies.
    """
    found = {
        tensor.shape[0]: name
        for name, tensor in source.tensors.items()
        if _is_input(name) and len(tensor.shape) == 2
    }
    if len(found) > 1:
        one, other = sorted(found.values())[:2]
        raise CapabilityError(
            f"{source.label} has two vocabularies: {one!r} and {other!r} differ in rows",
            hint="merge it without a tokenizer section, with models of the same vocabularies",
        )
    return next(iter(found), None)


def vocabulary_tensors(source: Source) -> frozenset[str]:
    """Return the names of the tensors that have a row, or a number, for each token.

    Raises CapabilityError for an output layer of another size than the embeddings.
    """
    rows = vocabulary_rows(source)
    found = set()
    for name, tensor in source.tensors.items():
        if not tensor.shape or LAYER.match(name):
            continue
        if rows in _token_sizes(tensor.shape) and (INPUT.search(name) or OUTPUT.search(name)):
            found.add(name)
        elif rows is not None and SURELY.search(name):
            raise CapabilityError(
                f"{name!r} of {source.label} has {tensor.shape[0]} rows, and its embeddings {rows}",
                hint="merge it without a tokenizer section, with models of the same vocabularies",
            )
    return frozenset(found)


def _is_input(name: str) -> bool:
    return INPUT.search(name) is not None and not LAYER.match(name)


def _token_sizes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A bias may be written as one row, as BART's is."""
    return (shape[0], shape[1]) if len(shape) == 2 and shape[0] == 1 else (shape[0],)
