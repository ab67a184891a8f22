"""Tiny bases, contract objects by hand, and short trainings."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from adapterhub_lite.architecture import Architecture, read_architecture
from adapterhub_lite.protocols import Attached, LoadedBase
from adapterhub_lite.specs import Head, HeadKind, MethodSpec
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.testing.models import loss_of
from adapterhub_lite.transformer import load_transformer
from adapterhub_lite_peft import adapterhub_methods
from adapterhub_lite_peft.method import PeftMethod
from adapterhub_lite_peft.params import PeftParams

SPECS: Mapping[str, MethodSpec] = {spec.name: spec for spec in adapterhub_methods()}
SMALL: Mapping[str, dict[str, Any]] = {
    "adamss": {"r": 16, "num_subspaces": 2},
    "boft": {"boft_block_size": 4},
    "c3a": {"block_size": 8},
    "fourierft": {"n_frequency": 20},
    "miss": {"r": 8},
    "oft": {"oft_block_size": 4},
    "road": {"group_size": 16},
    "shira": {"r": 4},
    "trainable-tokens": {"token_indices": list(range(5, 20))},
    "vblora": {"vector_length": 8, "num_vectors": 16},
    "waveft": {"n_frequency": 20},
    **{name: {"num_virtual_tokens": 4} for name in ("prefix", "prompt", "p-tuning", "cartridge")},
    "adaption-prompt": {"adapter_len": 4},
}
"""Settings that fit layers 32 wide, where PEFT's defaults do not."""
TINY: Mapping[str, dict[str, Any]] = {"t5": {"decoder_start_token_id": 0, "num_decoder_layers": 3}}


def params_of(name: str, **settings: Any) -> PeftParams:
    """Make a method's parameters, with defaults that fit tiny layers."""
    made = SPECS[name].params(**{**SMALL.get(name, {}), **settings})
    assert isinstance(made, PeftParams)
    return made


def head_of(kind: HeadKind) -> Head:
    """Make a head: three labels where there are labels."""
    labelled = kind in ("sequence-classification", "token-classification")
    single = "single-label" if kind == "sequence-classification" else ""
    return Head(kind=kind, labels=("a", "b", "c") if labelled else (), problem=single)


class Bench:
    """Tiny bases in a folder, loaded as the loaders do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loaded: dict[tuple[str, HeadKind], LoadedBase] = {}

    def path(self, model_type: str) -> Path:
        """Return a tiny model's folder, written when first asked for."""
        path = self.folder / model_type
        if not path.exists():
            settings = {"num_hidden_layers": 2, **TINY.get(model_type, {})}
            write_tiny_model(path, model_type, **settings)
        return path

    def architecture(self, model_type: str) -> Architecture:
        return read_architecture(self.path(model_type), model_type)

    def base(self, model_type: str, kind: HeadKind = "sequence-classification") -> LoadedBase:
        """Return a copy of a base that is loaded once; its head's layers are drawn with seed 0."""
        if (model_type, kind) not in self._loaded:
            torch.manual_seed(0)
            base = load_transformer(self.path(model_type), head_of(kind), torch.float32, "cpu")
            if base.model.config.is_encoder_decoder and kind == "sequence-classification":
                base.model.config.eos_token_id = 3
            self._loaded[model_type, kind] = base
        torch.manual_seed(0)
        return deepcopy(self._loaded[model_type, kind])

    def attach(
        self,
        name: str,
        model_type: str,
        kind: HeadKind = "sequence-classification",
        **settings: Any,
    ) -> Attached:
        """Attach a method to a fresh base, with the seed 1."""
        base = self.base(model_type, kind)
        torch.manual_seed(1)
        return PeftMethod().attach(base, params_of(name, **settings))


def batch_for(kind: HeadKind, encoder_decoder: bool = False) -> dict[str, torch.Tensor]:
    """Make four rows of nine tokens, one of them padded, with targets."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(5, 40, (4, 9), generator=generator)
    tokens[0, 6:] = 0
    if encoder_decoder and kind == "sequence-classification":
        tokens[:, -1] = 3
    batch = {"input_ids": tokens, "attention_mask": (tokens > 0).long()}
    if kind == "sequence-classification":
        batch["labels"] = torch.tensor([0, 1, 2, 1])
    elif kind == "token-classification":
        batch["labels"] = tokens % 3
    elif kind == "question-answering":
        batch |= {"start_positions": torch.tensor([0, 1, 2, 1])}
        batch |= {"end_positions": torch.tensor([1, 2, 3, 3])}
    elif kind in ("causal-lm", "seq2seq-lm"):
        batch["labels"] = tokens.clone()
    elif encoder_decoder:
        batch["decoder_input_ids"] = tokens
    return batch


def train(
    model: Any,
    batch: Mapping[str, torch.Tensor],
    rate: float = 1e-2,
    steps: int = 3,
    hooks: Attached | None = None,
) -> tuple[float, float]:
    """Take a few steps; return the loss before and after, without dropout."""
    learning = [value for value in model.parameters() if value.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=rate, weight_decay=0.0)
    model.eval()
    first = float(loss_of(model, batch).detach())
    if hooks and hooks.on_start:
        hooks.on_start(steps)
    for step in range(steps):
        loss = loss_of(model, batch)
        loss.backward()
        optimiser.step()
        if hooks and hooks.on_step:
            hooks.on_step(step + 1)
        optimiser.zero_grad()
    with torch.no_grad():
        last = float(loss_of(model, batch))
    return first, last


@torch.no_grad()
def outputs(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return a model's logits, or last hidden states, in evaluation mode."""
    kept = ("input_ids", "attention_mask", "decoder_input_ids")
    inputs = {key: value for key, value in batch.items() if key in kept}
    if model.config.is_encoder_decoder and "labels" in batch and batch["labels"].ndim == 2:
        inputs["decoder_input_ids"] = batch["labels"]
    answered: torch.Tensor = model.eval()(**inputs)[0]
    return answered.clone()


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Tiny bases for all tests."""
    return Bench(tmp_path_factory.mktemp("bases"))
