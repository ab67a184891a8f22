"""Rows in slots: each gets its own adapter's update, however they are mixed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite_peft.rows import Layout, Single, Update, Weights

WIDTH, OUT = 6, 5


def drawn(number: int, rank: int) -> Weights:
    generator = torch.Generator().manual_seed(number)
    update = Update(
        torch.randn(rank, WIDTH, generator=generator), torch.randn(rank, OUT, generator=generator)
    )
    other = Update(update.down.repeat(2, 1), update.up.flip(1).repeat(2, 1))
    head = nn.Linear(WIDTH, 2 + number)
    # the last of three changes only its own head, the first has none
    updates = {} if number == 2 else {"layer": update, "other": other}
    return Weights(updates, {} if number == 0 else {"head": head})


ADAPTERS = [drawn(number, rank) for number, rank in enumerate((3, 1, 2))]


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12), st.integers(1, 3))
def test_each_row_has_its_own_update(owners: list[int], tokens: int) -> None:
    layout = Layout([ADAPTERS[number] for number in owners])
    x = torch.randn(len(owners), tokens, WIDTH)
    output = torch.randn(len(owners), tokens, OUT)
    for layer in ("layer", "other", "layer", "other"):  # as when a text is written
        found = layout.add(layer, x, output.clone())
        for row, number in enumerate(owners):
            alone = Single(ADAPTERS[number]).add(layer, x[row : row + 1], output[row : row + 1])
            expected = output[row] if alone is None else alone[0]
            own = output[row] if found is None else found[row]
            torch.testing.assert_close(own, expected, atol=1e-5, rtol=1e-5)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12))
@torch.no_grad()
def test_each_row_has_its_own_head_filled_up_to_the_widest(owners: list[int]) -> None:
    layout = Layout([ADAPTERS[number] for number in owners])
    x, output = torch.randn(len(owners), WIDTH), torch.randn(len(owners), 2)
    found = layout.replace("head", [x], output)
    if found is None:
        assert set(owners) == {0}
        return
    for row, number in enumerate(owners):
        alone = Single(ADAPTERS[number]).replace("head", [x[row : row + 1]], output[row : row + 1])
        expected = output[row] if alone is None else alone[0]
        torch.testing.assert_close(found[row, : len(expected)], expected)
        assert not found[row, len(expected) :].any()


def test_rows_that_cannot_be_told_apart_are_refused() -> None:
    layout = Layout([ADAPTERS[0], ADAPTERS[1]])
    with pytest.raises(CapabilityError, match="layer is given 3 rows of a batch of 2"):
        layout.add("layer", torch.randn(3, WIDTH), torch.randn(3, OUT))
    with pytest.raises(CapabilityError, match="head is given 3 rows"):
        layout.replace("head", [torch.randn(3, WIDTH)], torch.randn(3, 2))
