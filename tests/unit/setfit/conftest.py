"""Tiny encoders, as the few-shot engine holds them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from adapterhub_lite.pooling import Pooling
from adapterhub_lite.specs import Head
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.transformer import load_transformer
from adapterhub_lite_setfit.encoder import Encoder

EncoderOf = Callable[..., Encoder]


@pytest.fixture
def encoder_of(tmp_path: Path) -> EncoderOf:
    """Return a function that makes a tiny encoder of a model type."""

    def make(model_type: str = "bert", **config: object) -> Encoder:
        folder = write_tiny_model(tmp_path / model_type, model_type, **config)
        base = load_transformer(folder, Head(), torch.float32, "cpu")
        return Encoder(base.model, base.tokenizer, Pooling(), 64)

    return make
