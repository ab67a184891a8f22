"""Which member each token of a running pass belongs to: by its place in the text, or by its text.

A transformer that is followed tells it at the beginning of every pass, from what it is called with;
the layers inside ask for it. Each thread has its own pass.
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from adapterhub_lite.errors import CapabilityError

_owners: ContextVar[Tensor | None] = ContextVar("owners", default=None)


@dataclass(frozen=True, slots=True)
class Pass:
    """What a transformer is called with.

    ``present`` (rows, tokens with those before) is False for padding; the last ``tokens`` of them
    are computed now, and all others are in the cache. ``ids`` are those of the tokens computed now.
    """

    ids: Tensor | None
    present: Tensor
    tokens: int


Choose = Callable[[Pass], Tensor]
"""Returns the number of each token's member, shape (rows, tokens), of the tokens computed now."""


@dataclass(frozen=True, slots=True)
class Spans:
    """By place: member i has the tokens before ``ends[i]`` that those before it have not.

    A text's first token, which is often a special one, has the place 0; padding has none.
    """

    ends: tuple[int, ...]

    def __call__(self, asked: Pass) -> Tensor:
        """Count each row's own tokens, those in the cache included."""
        places = asked.present.cumsum(1) - 1
        ends = torch.tensor(self.ends, device=places.device)
        return torch.bucketize(places[:, -asked.tokens :].contiguous(), ends, right=True)


@dataclass(frozen=True, slots=True)
class Segments:
    """By text: of a pair the first text is member 0's, its separator included, and the rest 1's.

    ``closing`` says which of the ``separator`` tokens ends the first text, counted from 1.
    ``single`` and ``pair`` count those around one text, and around two.
    """

    separator: int
    closing: int
    single: int
    pair: int

    def __call__(self, asked: Pass) -> Tensor:
        """Look for the separator; a single text is the first member's whole.

        Raises CapabilityError where a text has the separator in it, or its beginning is not seen.
        """
        if asked.ids is None or asked.tokens != asked.present.shape[1]:
            raise CapabilityError(
                "a split by segment reads whole texts as token ids, and was given less",
                hint="split by tokens: it counts what is in a cache, too",
            )
        separators = (asked.ids == self.separator) & asked.present
        count = separators.sum(1, keepdim=True)
        if not bool(((count == self.single) | (count == self.pair)).all()):
            raise CapabilityError(
                f"which tokens are the second text's cannot be told: token {self.separator}, which "
                "separates two texts, also stands in a text itself",
                hint="take it out of the text",
            )
        before = separators.cumsum(1) - separators.long()
        return ((before >= self.closing) & (count == self.pair)).long()


def segments_of(tokenizer: Any) -> Segments | None:
    """Return how a tokenizer separates two texts; None where it puts nothing between them."""
    if not tokenizer.is_fast:
        return None
    both = tokenizer("a", "a")
    ids: Sequence[int] = both["input_ids"]
    texts = both.sequence_ids(0)
    if 0 not in texts or 1 not in texts:
        return None
    start = len(texts) - texts[::-1].index(0)
    if texts[start] is not None:
        return None
    separator = ids[start]
    return Segments(
        separator=separator,
        closing=ids[: start + 1].count(separator),
        single=tokenizer("a")["input_ids"].count(separator),
        pair=ids.count(separator),
    )


def follow(transformer: nn.Module, choose: Choose) -> None:
    """Let each pass through a transformer tell :func:`owners_of` whose its tokens are."""
    names = [*signature(transformer.forward).parameters]

    def begin(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = dict(zip(names, args, strict=False)) | kwargs
        _owners.set(choose(_pass(given)))

    def end(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        _owners.set(None)

    transformer.register_forward_pre_hook(begin, with_kwargs=True)
    transformer.register_forward_hook(end, always_call=True)


def owners_of(layer: str, given: Tensor) -> Tensor:
    """Return whose each token is that a layer is given; a ``TokenOwners``."""
    owners = _owners.get()
    if owners is None or given.shape[:-1] != owners.shape:
        shown = "no text's tokens" if owners is None else f"tokens of the shape {_shape(owners)}"
        raise CapabilityError(
            f"{layer} is given {_shape(given)} numbers while the transformer reads {shown}: whose "
            "they are cannot be told",
            hint="adapters that are split change layers that are given each token as it stands",
        )
    return owners


def _pass(given: Mapping[str, Any]) -> Pass:
    ids, mask, past = (given.get(n) for n in ("input_ids", "attention_mask", "past_key_values"))
    shown: Tensor = given["inputs_embeds"] if ids is None else ids
    rows, tokens = shown.shape[:2]
    length = tokens + (0 if past is None else past.get_seq_length())
    if mask is None:
        present = torch.ones(rows, length, dtype=torch.bool, device=shown.device)
    elif isinstance(mask, Tensor) and mask.shape == (rows, length):
        present = mask != 0
    else:
        raise CapabilityError(
            "where a text begins cannot be told from this attention mask",
            hint="a split is asked with masks (rows, tokens), one text a row",
        )
    return Pass(ids, present, tokens)


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape))
