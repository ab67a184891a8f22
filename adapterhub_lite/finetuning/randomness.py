"""The global generators of Python, NumPy and torch: seed, hold, put back."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class RandomState:
    """The state of every global generator: ``numbers`` is JSON, ``tensors`` are bytes."""

    numbers: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]


def random_state() -> RandomState:
    """Return the present state."""
    version, words, gauss = random.getstate()
    legacy: dict[str, Any] = dict(np.random.get_state(legacy=False))
    words_of_numpy = legacy["state"]
    numbers = {
        "python": [version, list(words), gauss],
        "numpy": {
            **legacy,
            "state": {"key": words_of_numpy["key"].tolist(), "pos": int(words_of_numpy["pos"])},
        },
    }
    tensors = {"torch": torch.get_rng_state()}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        for i, state in enumerate(torch.cuda.get_rng_state_all()):
            tensors[f"cuda-{i}"] = state
    return RandomState(numbers, tensors)


def restore_random(state: RandomState) -> None:
    """Go back to a state."""
    version, words, gauss = state.numbers["python"]
    random.setstate((version, tuple(words), gauss))
    held = state.numbers["numpy"]
    key = np.array(held["state"]["key"], dtype=np.uint32)
    np.random.set_state({**held, "state": {**held["state"], "key": key}})
    torch.set_rng_state(state.tensors["torch"])
    for name, tensor in state.tensors.items():
        if name.startswith("cuda-"):
            torch.cuda.set_rng_state(tensor, int(name.removeprefix("cuda-")))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from ``seed`` inside; the generators are as before afterwards."""
    with undisturbed():
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let nothing inside change what is drawn afterwards."""
    before = random_state()
    try:
        yield
    finally:
        restore_random(before)
