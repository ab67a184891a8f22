"""Strategies that say they merge task vectors alone: the base's numbers do not matter to them."""

from typing import Any

import pytest
import torch

from adapterhub_lite.merging.memory import merge_states
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.specs import MergeSpec

CATALOGUE = get_catalogue(first_party_only=True)
SPECS = [
    offer.spec
    for offer in CATALOGUE.usable("strategy")
    if isinstance(offer.spec, MergeSpec) and "delta" in offer.spec.capabilities
]
NAMES = ("model.layers.0.q.weight", "model.layers.1.q.weight")
REQUIRED = {"lines": {"alpha": 0.2, "beta": 0.6}, "nearswap": {"t": 0.01}}
"""Parameters that have no defaults."""


def on_a_grid(seed: int, step: float) -> dict[str, torch.Tensor]:
    """Draw tensors whose sums with one another are exact."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (torch.randn(24, 17, generator=generator) / step).round() * step for name in NAMES
    }


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: str(spec.name))
def test_the_update_is_the_same_on_any_base(spec: MergeSpec) -> None:
    base = on_a_grid(0, 2**-6)
    deltas = [on_a_grid(seed, 2**-12) for seed in range(1, 1 + min(2, spec.models[1] or 2))]
    models = [{name: base[name] + delta[name] for name in NAMES} for delta in deltas]
    each: dict[str, Any] = dict(REQUIRED.get(spec.name, {}))
    if "density" in spec.model_params.model_fields:
        each["density"] = 0.5
    there = merge_states(models, spec.name, CATALOGUE, base=base, **each)
    zeros = {name: torch.zeros(24, 17) for name in NAMES}
    alone = merge_states(deltas, spec.name, CATALOGUE, base=zeros, **each)
    for name in NAMES:
        update = there[name] - base[name]
        assert float((update - alone[name]).norm()) < 1e-4 * float(alone[name].norm())


def test_there_are_such_strategies() -> None:
    assert "task_arithmetic" in {spec.name for spec in SPECS}
