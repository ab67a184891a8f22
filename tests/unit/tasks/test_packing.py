"""Packed rows learn what the same rows learn alone."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.specs import Head
from adapterhub_lite_tasks.likelihood import count_learnt, decoder_batch, summed_loss
from adapterhub_lite_tasks.packing import pack, packed_batch, refuse_if_rows_leak


def feature(row: int, length: int, learnt: int | None = None) -> dict[str, Any]:
    ids = [5 + (7 * row + 3 * at) % 40 for at in range(length)]
    first = 1 if learnt is None else length - learnt
    labels = [-100] * first + ids[first:]
    return {"input_ids": ids, "labels": labels, "length": length, "row": row}


FEATURES = [feature(row, length, length // 2) for row, length in enumerate((7, 3, 9, 4, 12, 2))]


@given(lengths=st.lists(st.integers(1, 30), max_size=40))
def test_every_row_is_packed_once_and_within_the_limit(lengths: list[int]) -> None:
    features = [feature(row, length) for row, length in enumerate(lengths)]
    packed = pack(features, 30)
    assert sum(row["length"] for row in packed) == sum(lengths)
    assert all(row["length"] <= 30 for row in packed)
    pieces = []
    for row in packed:
        segments = torch.tensor(row["segments"])
        assert row["row"] == min(_rows(row, features))
        for number in range(1, int(segments.max()) + 1):
            inside = (segments == number).nonzero().flatten().tolist()
            assert [row["position_ids"][at] for at in inside] == list(range(len(inside)))
            assert row["labels"][inside[0]] == -100
            pieces.append([row["input_ids"][at] for at in inside])
    assert sorted(pieces) == sorted(one["input_ids"] for one in features)


def _rows(packed: dict[str, Any], features: list[dict[str, Any]]) -> list[int]:
    """Return the rows that a packed row could hold, by their tokens."""
    text = packed["input_ids"]
    starts = [at for at, place in enumerate(packed["position_ids"]) if place == 0]
    ends = [*starts[1:], len(text)]
    pieces = [text[a:b] for a, b in zip(starts, ends, strict=True)]
    return [one["row"] for one in features if one["input_ids"] in pieces]


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "qwen2"])
def test_loss_and_gradient_are_those_without_packing(make_base: Any, model_type: str) -> None:
    base = make_base(model_type, Head(kind="causal-lm"))
    model = base.model.double()
    packed = packed_batch(pack(FEATURES, 20), 0)
    apart = decoder_batch(FEATURES, 0)
    assert packed["input_ids"].shape[0] < len(FEATURES)
    assert count_learnt(packed) == count_learnt(apart)
    gradients = [_gradients(model, batch) for batch in (packed, apart)]
    torch.testing.assert_close(summed_loss(model, packed), summed_loss(model, apart))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    refuse_if_rows_leak(model, FEATURES, 0)


def _gradients(model: nn.Module, batch: Any) -> list[torch.Tensor]:
    model.zero_grad()
    summed_loss(model, batch).backward()  # type: ignore[no-untyped-call]
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


class Leaks(nn.Module):
    """A model that reads everything before a token, whatever the mask says."""

    dtype = torch.float32

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 8)
        self.config = SimpleNamespace(is_encoder_decoder=False)

    def forward(self, input_ids: torch.Tensor, **ignored: Any) -> Any:
        return SimpleNamespace(logits=self.table(input_ids).cumsum(1))


def test_rows_beyond_a_sliding_window_are_refused(make_base: Any) -> None:
    base = make_base("mistral", Head(kind="causal-lm"))
    base.model.config.sliding_window = 12
    refuse_if_rows_leak(base.model, FEATURES, 0)
    base.model.config.sliding_window = 11
    with pytest.raises(CapabilityError, match="looks back 11 tokens"):
        refuse_if_rows_leak(base.model, FEATURES, 0)


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_packing_works_in_mixed_precision(make_base: Any, model_type: str) -> None:
    model = make_base(model_type, Head(kind="causal-lm")).model
    packed, apart = packed_batch(pack(FEATURES, 20), 0), decoder_batch(FEATURES, 0)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        losses = [summed_loss(model, batch).item() for batch in (packed, apart)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_a_model_that_does_not_read_the_mask_is_refused() -> None:
    with pytest.raises(CapabilityError, match="read each other") as caught:
        refuse_if_rows_leak(Leaks(), FEATURES, 0)
    assert "leave packing out" in caught.value.hint
