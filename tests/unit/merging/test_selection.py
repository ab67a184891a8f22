"""The k largest magnitudes, exactly: against sorting, with ties and in any chunks."""

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.streaming import selection
from adapterhub_lite.streaming.selection import Selector, top_magnitudes


def kept(selector: Selector, chunks: Iterable[torch.Tensor]) -> list[int]:
    mask = torch.cat([selector.mask(chunk) for chunk in chunks])
    return [int(place) for place in mask.nonzero()]


def reference(values: torch.Tensor, count: int) -> list[int]:
    """Sort by falling magnitude, and by index among equals."""
    order = np.lexsort((np.arange(len(values)), -values.abs().double().numpy()))
    return sorted(int(place) for place in order[:count])


@pytest.mark.parametrize("resident", [2**22, 0], ids=["partition", "counting"])
@given(
    levels=st.integers(1, 9),
    size=st.integers(1, 200),
    share=st.floats(0, 1),
    step=st.integers(1, 64),
    seed=st.integers(0, 2**31),
)
def test_ties_go_to_the_lowest_index(
    resident: int, levels: int, size: int, share: float, step: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(-levels, levels + 1, (size,), generator=generator) * 0.37
    count = round(share * size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "RESIDENT", resident)
        selector = top_magnitudes(lambda: values.split(step), size, count)
    assert kept(selector, values.split(step)) == reference(values, count)


@pytest.mark.parametrize("resident", [2**22, 0], ids=["partition", "counting"])
@pytest.mark.parametrize("scale", [1e-38, 1e-3, 1.0, 3e38])
def test_magnitudes_of_any_size(
    resident: int, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "RESIDENT", resident)
    values = (torch.rand(5000, generator=torch.Generator().manual_seed(0)) * 2 - 1) * scale
    for count in (0, 1, 17, 2500, 4999, 5000):
        selector = top_magnitudes(lambda: values.split(999), 5000, count)
        assert kept(selector, values.split(999)) == reference(values, count)


def test_a_chunk_may_have_rows() -> None:
    values = torch.tensor([[1.0, -2.0], [2.0, 2.0]])
    selector = top_magnitudes(lambda: [values], 4, 2)
    assert selector.mask(values).tolist() == [[0.0, 1.0], [1.0, 0.0]]
