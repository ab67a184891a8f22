"""Whose a token is depends on its place in its own text: on no padding, cache or other row."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite_compositions.spans import Segments, Spans, follow, owners_of

SEPARATOR = 7
ENDS = st.lists(st.integers(1, 12), min_size=1, max_size=3, unique=True).map(
    lambda ends: tuple(sorted(ends))
)


class Transformer(nn.Module):
    """Gives back whose its tokens are, as a layer inside is told."""

    def forward(
        self, input_ids: Any = None, attention_mask: Any = None, past_key_values: Any = None
    ) -> torch.Tensor:
        return owners_of("layer", torch.zeros(*input_ids.shape, 4))


class Cache:
    def __init__(self, length: int) -> None:
        self.length = length

    def get_seq_length(self) -> int:
        return self.length


def followed(choose: Any) -> Transformer:
    model = Transformer()
    follow(model, choose)
    return model


@settings(max_examples=60)
@given(ends=ENDS, lengths=st.lists(st.integers(1, 14), min_size=1, max_size=4), data=st.data())
def test_a_span_counts_a_texts_own_tokens(
    ends: tuple[int, ...], lengths: list[int], data: st.DataObject
) -> None:
    longest = max(lengths)
    left = data.draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)))
    mask = torch.zeros(len(lengths), longest, dtype=torch.long)
    for row, (length, padded_left) in enumerate(zip(lengths, left, strict=True)):
        mask[row, longest - length if padded_left else 0 :][:length] = 1
    cuts = sorted({0, longest, *data.draw(st.lists(st.integers(1, longest), max_size=3))})
    model = followed(Spans(ends))
    parts = [
        model(mask[:, a:b], attention_mask=mask[:, :b], past_key_values=Cache(a))
        for a, b in pairwise(cuts)
    ]
    owners = torch.cat(parts, 1)
    for row, length in enumerate(lengths):
        expected = [sum(end <= place for end in ends) for place in range(length)]
        assert owners[row][mask[row] == 1].tolist() == expected


WORDS = st.lists(st.integers(10, 20), min_size=1, max_size=5)


@settings(max_examples=60)
@given(rows=st.lists(st.tuples(WORDS, WORDS | st.none()), min_size=1, max_size=4))
@pytest.mark.parametrize("between", [[SEPARATOR], [SEPARATOR, SEPARATOR]])
def test_a_segment_ends_with_its_separator(rows: Any, between: list[int]) -> None:
    choose = Segments(separator=SEPARATOR, closing=1, single=1, pair=1 + len(between))
    texts = [
        ([1, *first, SEPARATOR], [])
        if second is None
        else ([1, *first, SEPARATOR], [*between[1:], *second, SEPARATOR])
        for first, second in rows
    ]
    longest = max(len(first) + len(second) for first, second in texts)
    # what pads is the separator itself, as with tokenizers that have no token of their own for it
    ids = torch.full((len(texts), longest), SEPARATOR)
    mask = torch.zeros_like(ids)
    for row, (first, second) in enumerate(texts):
        ids[row, : len(first) + len(second)] = torch.tensor([*first, *second])
        mask[row, : len(first) + len(second)] = 1
    owners = followed(choose)(ids, attention_mask=mask)
    for row, (first, second) in enumerate(texts):
        assert owners[row][mask[row] == 1].tolist() == [0] * len(first) + [1] * len(second)


def test_what_cannot_be_told_is_refused() -> None:
    ids, choose = torch.tensor([[1, 12, 13]]), Spans((2,))
    assert followed(choose)(ids).tolist() == [[0, 0, 1]]
    assert followed(choose)(ids, past_key_values=Cache(1)).tolist() == [[0, 1, 1]]
    with pytest.raises(CapabilityError, match="where a text begins cannot be told"):
        followed(choose)(ids, attention_mask=torch.ones(1, 1, 3, 3))
    with pytest.raises(CapabilityError, match="where a text begins cannot be told"):
        followed(choose)(ids, attention_mask=torch.ones(1, 3), past_key_values=Cache(1))
    segments = Segments(separator=SEPARATOR, closing=1, single=1, pair=2)
    with pytest.raises(CapabilityError, match="reads whole texts"):
        followed(segments)(ids, past_key_values=Cache(1))
    with pytest.raises(CapabilityError, match="layer is given 1 x 3 x 4 numbers"):
        Transformer()(ids)
