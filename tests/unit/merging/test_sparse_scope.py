"""TIES by the whole model, as in its paper; and that chunks and threads do not show."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from adapterhub_lite.errors import MergeError
from adapterhub_lite.merging.engine import Applied, Settings, TensorJob, run_jobs
from adapterhub_lite.merging.memory import merge_states, split_params
from adapterhub_lite.merging.output import MemoryWriter
from adapterhub_lite.streaming import selection
from adapterhub_lite.streaming.headers import TensorShape
from adapterhub_lite.streaming.sources import StateSource
from adapterhub_lite.streaming.tensors import Origin
from tests.unit.merging.sparse_reference import (
    CATALOGUE,
    STRATEGIES,
    agreed,
    deltas_of,
    merged,
    random_models,
    top,
)

SHAPES = {"b": (13, 17), "a": (50,), "c": (3, 5)}
RESCALINGS: Mapping[str, Mapping[str, Any]] = {
    "none": {"rescale": False},
    "l1": {"rescale": True, "rescale_norm": "l1"},
    "l2": {"rescale": True, "rescale_norm": "l2"},
    "linf": {"rescale": True, "rescale_norm": "linf"},
    "probability": {"rescale": True, "rescale_norm": "probability"},
}
DRAWN = ("dare_linear", "dare_ties", "della", "della_linear")


def two_models(
    dtype: torch.dtype, shapes: Mapping[str, tuple[int, ...]] = SHAPES
) -> list[dict[str, torch.Tensor]]:
    """Return a base and two models of several tensors, each of its own scale."""
    states: list[dict[str, torch.Tensor]] = [{}, {}, {}]
    for scale, (name, shape) in enumerate(shapes.items(), 1):
        base, models = random_models(2, shape, torch.float32, seed=scale)
        for state, values in zip(states, (base, *models), strict=True):
            state[name] = (base + scale * (values - base)).to(dtype)
    return states


def flat(state: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the tensors as one vector, in the order of their names."""
    return torch.cat([state[name].reshape(-1) for name in sorted(state)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
def test_the_largest_of_the_whole_model_are_kept(density: float, dtype: torch.dtype) -> None:
    base, *models = two_models(dtype)
    vectors = deltas_of(flat(base), [flat(model) for model in models])
    kept = [top(density)(vector) for vector in vectors]
    expected = flat(base).double().numpy() + agreed(kept, (1.0, 1.0), normalize=True)

    result = merge_states(models, "ties", CATALOGUE, base=base, density=density, scope="model")

    np.testing.assert_allclose(
        flat(result).double().numpy(), expected, rtol=0.0, atol=1e-6 if dtype.itemsize > 2 else 0.02
    )


@pytest.mark.parametrize("resident", [10, selection.RESIDENT])
@pytest.mark.parametrize("density", [0.1, 0.3, 0.55, 0.8])
def test_equals_are_kept_in_the_order_of_the_tensors_names(
    density: float, resident: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "RESIDENT", resident)
    generator = torch.Generator().manual_seed(1)
    model = {
        name: torch.randint(-2, 3, shape, generator=generator).float()
        for name, shape in SHAPES.items()
    }
    base = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    for chunk_size in (7, 2**18):
        result = merge_states(
            [model],
            "ties",
            CATALOGUE,
            base=base,
            settings=Settings(chunk_size=chunk_size),
            density=density,
            scope="model",
        )
        expected = top(density)(flat(model).double().numpy())
        np.testing.assert_array_equal(flat(result).numpy(), expected)


def test_of_a_single_tensor_both_scopes_are_the_same() -> None:
    base, models = random_models(3, (40, 30), torch.bfloat16)
    by_tensor = merged("ties", base, models, density=0.3)
    assert torch.equal(merged("ties", base, models, density=0.3, scope="model"), by_tensor)


def jobs_of(each: Mapping[str, Mapping[str, Any]]) -> list[TensorJob]:
    """Return ties jobs over :func:`two_models`, with parameters of their own for each tensor."""
    base, *models = (
        StateSource(state, label)
        for state, label in zip(two_models(torch.float32), ("base", "one", "two"), strict=True)
    )
    spec = CATALOGUE.strategy("ties")
    applied = Applied(spec, CATALOGUE.implementation(spec))
    jobs = []
    for name, own in each.items():
        params, model_params = split_params(spec, own, [{}] * 2)
        jobs.append(
            TensorJob(
                name=name,
                output=TensorShape("F32", SHAPES[name]),
                applied=applied,
                params=params,
                model_params=model_params,
                base=Origin(base, name),
                origins=tuple(Origin(model, name) for model in models),
            )
        )
    return jobs


def test_a_whole_model_has_one_density() -> None:
    jobs = jobs_of(
        {
            "a": {"scope": "model", "density": 0.5},
            "b": {"scope": "model", "density": 0.25},
        }
    )
    writer = MemoryWriter({job.name: job.output for job in jobs})
    with pytest.raises(MergeError, match=r"one density for model 1.*0\.25 to 0\.5"):
        run_jobs(jobs, writer, Settings())


def test_tensors_of_both_scopes_may_be_in_one_merge() -> None:
    jobs = jobs_of(
        {
            "a": {"density": 0.5},
            "b": {"scope": "model", "density": 0.25},
            "c": {"scope": "model", "density": 0.25},
        }
    )
    writer = MemoryWriter({job.name: job.output for job in jobs})
    run_jobs(jobs, writer, Settings())
    states = two_models(torch.float32)
    alone = [[{"a": state["a"]} for state in states], [{n: s[n] for n in "bc"} for s in states]]
    expected: dict[str, torch.Tensor] = {}
    for (base, *models), own in zip(
        alone, ({"density": 0.5}, {"scope": "model", "density": 0.25}), strict=True
    ):
        expected |= merge_states(models, "ties", CATALOGUE, base=base, **own)
    assert all(torch.equal(writer.state[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("strategy", "rescaling"),
    [
        (strategy, rescaling)
        for strategy in STRATEGIES
        for rescaling in RESCALINGS
        if strategy in DRAWN or rescaling != "probability"
    ],
)
def test_chunks_and_threads_do_not_change_a_bit(strategy: str, rescaling: str) -> None:
    base, *models = two_models(torch.bfloat16, SHAPES | {"large": (90, 33)})
    results = [
        flat(
            merge_states(
                models,
                strategy,
                CATALOGUE,
                base=base,
                settings=Settings(chunk_size=chunk_size, threads=threads, seed=3),
                **STRATEGIES[strategy],
                **RESCALINGS[rescaling],
            )
        )
        for chunk_size, threads in ((2**18, 1), (64, 2), (1000, 3))
    ]
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
