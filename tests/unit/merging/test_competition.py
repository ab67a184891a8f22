"""pcb against its equations in float64."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from adapterhub_lite.errors import MergeError
from adapterhub_lite.merging.engine import Applied, Settings, TensorJob, run_jobs
from adapterhub_lite.merging.memory import merge_states
from adapterhub_lite.merging.output import MemoryWriter
from adapterhub_lite.streaming.headers import TensorShape
from adapterhub_lite.streaming.sources import StateSource
from adapterhub_lite.streaming.tensors import Origin
from tests.unit.merging.single_tensor import CATALOGUE, assert_same_in_any_run, merge

SHAPES = {"a": (14, 21), "b": (57,)}
Floats = NDArray[np.float64]
State = dict[str, torch.Tensor]


def random_states(count: int, seed: int = 0) -> list[State]:
    generator = torch.Generator().manual_seed(seed)
    return [
        {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
        for _ in range(count)
    ]


def softmax(values: Floats) -> Floats:
    exponentials = np.exp(values - values.max())
    result: Floats = exponentials / exponentials.sum()
    return result


def normal(values: Floats) -> Floats:
    return (values - values.min()) / (values.max() - values.min())


def pcb(deltas: Floats, density: float, weights: Floats) -> Floats:
    """The merged task vector of flat ones."""
    count = len(deltas)
    scores = np.stack(
        [
            softmax(count * normal(own * own))
            * sum(softmax(normal(own * other)) for other in deltas)
            for own in deltas
        ]
    )
    kept = max(1, int(density * deltas.shape[1]))
    thresholds = np.sort(scores, axis=1)[:, -kept]
    scores *= scores >= thresholds[:, None]
    total = scores.sum(axis=0)
    result: Floats = (scores * weights[:, None] * deltas).sum(axis=0) / np.where(total, total, 1)
    return result


def flat(base: State, models: list[State], names: list[str]) -> Floats:
    rows = [
        torch.cat([(model[name] - base[name]).view(-1) for name in names]).double().numpy()
        for model in models
    ]
    return np.stack(rows)


@pytest.mark.parametrize("density", [0.05, 0.4, 1.0])
def test_pcb_lets_the_whole_model_compete(density: float) -> None:
    base, *models = random_states(4)
    weights = [1.0, 0.5, 2.0]

    found = merge_states(
        models,
        "pcb",
        CATALOGUE,
        base=base,
        model_params=[{"weight": weight} for weight in weights],
        density=density,
        **{"lambda": 0.8},
    )

    expected = 0.8 * pcb(flat(base, models, ["a", "b"]), density, np.array(weights))
    np.testing.assert_allclose(flat(base, [found], ["a", "b"])[0], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["a", "b"])
def test_pcb_lets_the_entries_of_a_tensor_compete(name: str) -> None:
    base, *models = random_states(4)

    found = merge_states(models, "pcb", CATALOGUE, base=base, scope="tensor", density=0.2)

    expected = pcb(flat(base, models, [name]), 0.2, np.ones(3))
    np.testing.assert_allclose(flat(base, [found], [name])[0], expected, rtol=0, atol=2e-6)


def test_pcb_keeps_of_one_model_its_largest_entries() -> None:
    base, model = random_states(2)
    delta = model["a"] - base["a"]

    found = merge("pcb", base["a"], [model["a"]], density=0.25)

    kept = delta.abs() >= delta.abs().view(-1).sort().values[-int(0.25 * delta.numel())]
    expected = torch.where(kept, model["a"], base["a"]).double()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scope", ["model", "tensor"])
def test_pcb_of_models_that_learnt_nothing_is_the_base(scope: str) -> None:
    (base,) = random_states(1)

    found = merge("pcb", base["a"], [base["a"]] * 2, scope=scope)

    assert torch.equal(found, base["a"].double())


def test_pcb_holds_for_more_models_than_an_exponential_does() -> None:
    base, *models = random_states(91)

    found = merge("pcb", base["b"], [model["b"] for model in models], density=0.5)

    expected = base["b"].double().numpy() + pcb(flat(base, models, ["b"]), 0.5, np.ones(90))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_pcb_refuses_several_densities_for_one_competition() -> None:
    base, model = random_states(2)
    spec = CATALOGUE.strategy("pcb")
    applied = Applied(spec, CATALOGUE.implementation(spec))
    jobs = [
        TensorJob(
            name=name,
            output=TensorShape("F32", SHAPES[name]),
            applied=applied,
            params=spec.params(density=density),
            model_params=(spec.model_params(),),
            base=Origin(StateSource(base, "base"), name),
            origins=(Origin(StateSource(model, "model"), name),),
        )
        for name, density in (("a", 0.1), ("b", 0.2))
    ]

    with pytest.raises(MergeError, match="density differs"):
        run_jobs(jobs, MemoryWriter({job.name: job.output for job in jobs}), Settings())


@pytest.mark.parametrize("params", [{}, {"scope": "tensor"}, {"density": 1.0}])
def test_chunks_and_threads_change_nothing(params: dict[str, Any]) -> None:
    assert_same_in_any_run("pcb", 3, **params)


def test_the_order_of_models_does_not_matter() -> None:
    base, *models = random_states(4)
    merged = [
        merge_states(order, "pcb", CATALOGUE, base=base, density=0.3)
        for order in (models, models[::-1])
    ]

    torch.testing.assert_close(*merged, rtol=0, atol=1e-5)
