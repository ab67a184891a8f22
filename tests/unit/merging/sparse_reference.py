"""Sparse merges in float64, written from the formulas, one tensor at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adapterhub_lite.merging.engine import Settings
from adapterhub_lite.merging.memory import merge_states
from adapterhub_lite.plugins import get_catalogue

Floats = NDArray[np.float64]

CATALOGUE = get_catalogue(first_party_only=True)
STRATEGIES: Mapping[str, Mapping[str, Any]] = {
    "ties": {"density": 0.4},
    "dare_linear": {"density": 0.4},
    "dare_ties": {"density": 0.4},
    "della": {"density": 0.4, "epsilon": 0.2},
    "della_linear": {"density": 0.4, "epsilon": 0.2},
    "breadcrumbs": {"density": 0.4, "gamma": 0.1},
    "breadcrumbs_ties": {"density": 0.4, "gamma": 0.1},
}
"""Every strategy of the family, with parameters under which it drops something."""


def merged(
    strategy: str,
    base: torch.Tensor,
    models: Sequence[torch.Tensor],
    settings: Settings | None = None,
    model_params: Sequence[Mapping[str, Any]] = (),
    **params: Any,
) -> torch.Tensor:
    """Merge models of a single tensor."""
    return merge_states(
        [{"w": model} for model in models],
        strategy,
        CATALOGUE,
        base={"w": base},
        model_params=model_params,
        settings=settings,
        **params,
    )["w"]


def random_models(
    count: int, shape: tuple[int, ...], dtype: torch.dtype = torch.float32, seed: int = 0
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return a base, and models that differ from it by a little."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(shape, generator=generator)
    models = [base + 0.1 * torch.randn(shape, generator=generator) for _ in range(count)]
    return base.to(dtype), [model.to(dtype) for model in models]


def deltas_of(base: torch.Tensor, models: Sequence[torch.Tensor]) -> list[Floats]:
    """Return the task vectors as float32 has them, in float64."""
    return [(model.float() - base.float()).double().numpy() for model in models]


def largest(delta: Floats, count: int) -> NDArray[np.bool_]:
    """Return where the ``count`` largest magnitudes are; of equals the first."""
    order = np.argsort(-np.abs(delta).ravel(), kind="stable")
    mask = np.zeros(delta.size, np.bool_)
    mask[order[:count]] = True
    return mask.reshape(delta.shape)


def top(density: float) -> Callable[[Floats], Floats]:
    """Return what keeps the largest share."""
    return lambda delta: delta * largest(delta, max(1, int(density * delta.size)))


def band(density: float, gamma: float) -> Callable[[Floats], Floats]:
    """Return what drops the largest ``gamma`` and keeps the next ``density``, which comes first."""

    def sparsify(delta: Floats) -> Floats:
        count = int(density * delta.size)
        dropped = min(int(gamma * delta.size), delta.size - count)
        return delta * (largest(delta, dropped + count) & ~largest(delta, dropped))

    return sparsify


def restored(before: Floats, after: Floats, norm: str) -> Floats:
    """Return ``after`` with the norm of ``before``."""
    order = {"l1": 1, "l2": 2, "linf": np.inf}[norm]
    ratio = np.linalg.norm(before.ravel(), order) / np.linalg.norm(after.ravel(), order)
    return after * ratio


def summed(values: Sequence[Floats], weights: Sequence[float], normalize: bool) -> Floats:
    """Return Σ wᵢvᵢ, over Σ wᵢ where it is normalised."""
    total = sum(weight * value for weight, value in zip(weights, values, strict=True))
    return np.asarray(total) / (sum(weights) if normalize else 1.0)


def agreed(values: Sequence[Floats], weights: Sequence[float], normalize: bool) -> Floats:
    """Return the same over those models alone that have, at a place, the sign of the sum."""
    weighted = [weight * value for weight, value in zip(weights, values, strict=True)]
    elected = np.where(sum(weighted) >= np.float64(0.0), 1.0, -1.0)
    masks = [np.sign(value) == elected for value in weighted]
    total = sum(mask * value for mask, value in zip(masks, weighted, strict=True))
    counted = sum(mask * weight for mask, weight in zip(masks, weights, strict=True))
    return np.asarray(total) / (np.where(counted == 0.0, 1.0, counted) if normalize else 1.0)
