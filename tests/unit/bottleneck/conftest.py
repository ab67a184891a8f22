"""Tiny models, bare and with bottleneck adapters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model
from transformers import AutoModel

from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.transformer import quiet_transformers
from adapterhub_lite_bottleneck.config import BottleneckConfig
from adapterhub_lite_bottleneck.tuner import BottleneckModel

Models = Callable[..., Any]
Adapted = Callable[..., PeftModel]
Run = Callable[..., torch.Tensor]

SIZES: dict[str, dict[str, int]] = {
    "distilbert": {"hidden_dim": 64},
    "gpt2": {"n_inner": 64},
    "llama": {"num_key_value_heads": 2},
    "t5": {"d_ff": 64, "d_kv": 8},
}


@pytest.fixture
def model_of(tmp_path: Path) -> Models:
    """Return a function that loads a tiny bare model; two calls give equal weights."""

    def load(model_type: str = "bert", **options: Any) -> Any:
        folder = tmp_path / model_type
        if not folder.exists():
            write_tiny_model(folder, model_type, **SIZES.get(model_type, {}))
        with quiet_transformers():
            return AutoModel.from_pretrained(folder, **options).eval()

    return load


@pytest.fixture
def adapted(model_of: Models) -> Adapted:
    """Return a function that attaches an adapter; ``trained`` fills it with random numbers."""

    def attach(model_type: str = "bert", *, trained: bool = True, **config: Any) -> PeftModel:
        model = get_peft_model(model_of(model_type), BottleneckConfig(**config)).eval()
        assert isinstance(model.base_model, BottleneckModel)
        return randomise(model) if trained else model

    return attach


@pytest.fixture
def add(model_of: Models) -> Callable[..., PeftModel]:
    """Return a function that adds one more random adapter to a model."""

    def add_one(model: PeftModel, name: str, **config: Any) -> PeftModel:
        model.add_adapter(name, BottleneckConfig(**config))
        return randomise(model, name).eval()

    return add_one


@pytest.fixture
def run() -> Run:
    """Return a function that runs a model on eight fixed rows, or some of them, without grad.

    Kernels may differ in the last bit between weights that do and do not want a gradient.
    """

    def forward(model: Any, rows: slice | list[int] = slice(None), **options: Any) -> torch.Tensor:
        with torch.no_grad():
            hidden: torch.Tensor = model(**inputs_of(model, rows), **options)[0]
        return hidden

    return forward


@pytest.fixture
def inputs() -> Callable[..., dict[str, torch.Tensor]]:
    """Return the function that makes the fixed rows."""
    return inputs_of


def inputs_of(model: Any, rows: slice | list[int] = slice(None)) -> dict[str, torch.Tensor]:
    """Return eight rows of seven tokens without padding, or some of the rows."""
    tokens = torch.randint(5, 40, (8, 7), generator=torch.Generator().manual_seed(0))[rows]
    both = model.config.is_encoder_decoder
    return {"input_ids": tokens, **({"decoder_input_ids": tokens} if both else {})}


def randomise(model: PeftModel, name: str = "default") -> PeftModel:
    """Fill the adapter ``name`` with random numbers, the same for the same name."""
    generator = torch.Generator().manual_seed(len(name))
    for key, parameter in model.named_parameters():
        if "bottleneck_" in key and f".{name}." in key:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.5
    return model
