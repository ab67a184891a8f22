"""The memory estimate against what tensors really take."""

from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.architecture import read_architecture
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.specs import Head, ResolvedBase
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.training.memory import MemoryEstimate, estimate_memory

CATALOGUE = get_catalogue()
HEAD = Head(kind="sequence-classification", labels=("a", "b"), problem="single-label")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bases") / "bert"
    return write_tiny_model(folder, hidden_size=128, intermediate_size=256)


def estimate(
    base: Path, loader: str = "fp32", method: str = "lora", trainable: int = 1000, **params: Any
) -> MemoryEstimate:
    objective = CATALOGUE.objective("classification").params(**params)
    return estimate_memory(
        read_architecture(base, "bert"),
        HEAD,
        CATALOGUE.loader(loader),
        CATALOGUE.method(method),
        objective,
        trainable,
    )


@pytest.mark.parametrize("loader", ["fp32", "bf16", "nf4", "int8"])
def test_weights_are_what_a_loaded_base_takes(base: Path, loader: str) -> None:
    spec = CATALOGUE.loader(loader)
    place = ResolvedBase(ref="bert", path=str(base), source="path")
    loaded = CATALOGUE.implementation(spec).load(place, Head(), spec.params(), "cpu")
    real = sum(tensor.nbytes for tensor in loaded.model.parameters())
    estimated = estimate(base, loader, trainable=0).weights
    assert estimated == pytest.approx(real, rel=0.1)


@pytest.mark.parametrize(("method", "added"), [("lora", 4000), ("full", 0)])
def test_an_adapter_comes_on_top_of_the_base(base: Path, method: str, added: int) -> None:
    weights = estimate(base, method=method, trainable=0).weights
    assert estimate(base, method=method).weights == weights + added


@pytest.mark.parametrize(
    ("optimizer", "state"), [("adamw", 8000), ("adamw-8bit", 2000), ("sgd", 0)]
)
def test_the_optimiser_counts(base: Path, optimizer: str, state: int) -> None:
    found = estimate(base, optimizer=optimizer)
    assert (found.gradients, found.optimiser) == (4000, state)


def test_activations_grow_with_the_batch_and_shrink_with_checkpointing(base: Path) -> None:
    one = estimate(base, batch_size=1).activations
    eight = estimate(base, batch_size=8).activations
    anew = estimate(base, batch_size=8, gradient_checkpointing=True).activations
    assert one
    assert eight == 8 * one
    assert anew
    assert anew < eight
