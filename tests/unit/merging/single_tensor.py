"""Models of one tensor, and of a few, for strategies to be compared with their formulas."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.merging.engine import Settings
from adapterhub_lite.merging.memory import merge_states
from adapterhub_lite.plugins import get_catalogue

CATALOGUE: Catalogue = get_catalogue(first_party_only=True)
NAMES: Mapping[str, tuple[int, ...]] = {
    "model.embed_tokens.weight": (40, 33),
    "model.layers.0.mlp.weight": (31, 70),
    "model.layers.1.mlp.weight": (31, 70),
    "model.norm.weight": (33,),
    "scale": (),
}
RUNS: Sequence[Settings] = [
    Settings(chunk_size=64),
    Settings(chunk_size=1000, threads=2),
    Settings(chunk_size=2**18, threads=3),
]


def grid(seed: int, shape: Sequence[int], zeros: float = 0.0) -> torch.Tensor:
    """Return multiples of 1/64 up to 1/2, of which float32 has exact sums, and many ties."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(-32, 33, tuple(shape), generator=generator) / 64
    return drawn * (torch.rand(tuple(shape), generator=generator) >= zeros)


def grid_models(
    count: int, shape: Sequence[int], zeros: float = 0.0, seed: int = 0
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return a base and models; ``zeros`` is the share of entries that a model leaves alone."""
    base = grid(1000 + seed, shape)
    return base, [base + grid(10 * seed + number, shape, zeros) for number in range(count)]


def merge(
    strategy: str,
    base: torch.Tensor | None,
    models: Sequence[torch.Tensor],
    *,
    each: Sequence[Mapping[str, Any]] = (),
    settings: Settings | None = None,
    **params: Any,
) -> torch.Tensor:
    """Merge models of a single tensor; in float64, to be compared."""
    return merge_states(
        [{"w": model} for model in models],
        strategy,
        CATALOGUE,
        base=None if base is None else {"w": base},
        model_params=each,
        settings=settings,
        **params,
    )["w"].double()


def assert_same_in_any_run(strategy: str, models: int, *, base: bool = True, **params: Any) -> None:
    """Assert that neither chunks nor threads change a bit of a merge of several tensors."""
    generator = torch.Generator().manual_seed(5)
    states = [
        {name: torch.randn(shape, generator=generator) for name, shape in NAMES.items()}
        for _ in range(models + 1)
    ]
    first, *others = (
        merge_states(
            states[1:],
            strategy,
            CATALOGUE,
            base=states[0] if base else None,
            settings=settings,
            **params,
        )
        for settings in RUNS
    )
    for other in others:
        for name, value in first.items():
            assert torch.equal(value, other[name]), name
