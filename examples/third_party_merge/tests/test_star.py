"""The strategy through the conformance kit, and its formula against numpy."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from adapterhub_lite.merging.memory import merge_states
from adapterhub_lite.plugins import load_catalogue
from adapterhub_lite.testing import MergeConformance


class TestStar(MergeConformance):
    """At the default."""

    name = "star"


class TestWholeSpectrum(MergeConformance):
    """With nothing cut a model comes back, and models that are all alike."""

    name = "star"
    params: ClassVar[Mapping[str, Any]] = {"eta": 100.0}
    expected_failures: ClassVar[Mapping[str, str]] = {}


@pytest.mark.parametrize("eta", [20.0, 40.0, 99.9])
def test_the_formula(eta: float) -> None:
    draw = np.random.default_rng(0)
    base, *models = (draw.normal(size=(12, 9)).astype(np.float32) for _ in range(4))
    expected = base.astype(np.float64)
    for model in models:
        left, values, right = np.linalg.svd(model - base, full_matrices=False)
        rank = next(r for r in range(1, 10) if values[:r].sum() >= eta / 100 * values.sum())
        kept = values[:rank] * values.sum() / values[:rank].sum()
        expected += left[:, :rank] @ np.diag(kept) @ right[:rank] / len(models)
    merged = merge_states(
        [{"w": torch.from_numpy(model)} for model in models],
        "star",
        load_catalogue(),
        base={"w": torch.from_numpy(base)},
        eta=eta,
    )
    assert np.allclose(merged["w"].numpy(), expected, atol=1e-5)
