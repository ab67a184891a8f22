"""Draws depend on their place alone, and are as random as they have to be."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from adapterhub_lite.streaming.randomness import draws, keep_mask, resolved, stream_key

KEY = stream_key(0, 1, "model.layers.0.weight")


@given(start=st.integers(0, 300), length=st.integers(0, 300))
def test_a_slice_is_a_slice_of_the_whole(start: int, length: int) -> None:
    whole = draws(KEY, 0, 600)
    assert torch.equal(draws(KEY, start, start + length), whole[start : start + length])


def test_draws_are_uniform() -> None:
    drawn = draws(KEY, 0, 200_000)
    assert drawn.min() >= 0
    assert drawn.max() <= 65535
    counts = torch.bincount((drawn / 256).long(), minlength=256).numpy()
    assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("parts", [(1, 1, "a"), (0, 2, "a"), (0, 1, "b")])
def test_streams_of_other_seeds_models_and_tensors_are_other_streams(
    parts: tuple[int, int, str],
) -> None:
    mine, other = draws(stream_key(0, 1, "a"), 0, 20_000), draws(stream_key(*parts), 0, 20_000)
    assert abs(torch.corrcoef(torch.stack([mine, other]))[0, 1]) < 0.03


@pytest.mark.parametrize("probability", [0.0, 0.01, 0.3, 0.9, 1.0])
def test_as_many_are_kept_as_asked(probability: float) -> None:
    mask = keep_mask(KEY, 0, 100_000, probability)
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    spread = 4 * (probability * (1 - probability) / 100_000) ** 0.5
    assert abs(mask.mean().item() - probability) <= spread + 2**-16
    assert abs(resolved(probability) - probability) <= 2**-17
