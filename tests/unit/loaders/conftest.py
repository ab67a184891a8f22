"""Tiny bases of six architectures, as each task loads them."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.specs import Head, HeadKind, ResolvedBase
from adapterhub_lite.testing import write_tiny_model

Bases = Callable[..., ResolvedBase]

ENCODER: tuple[HeadKind, ...] = (
    "none",
    "sequence-classification",
    "token-classification",
    "question-answering",
)
HEADS: Mapping[str, tuple[HeadKind, ...]] = {
    "bert": ENCODER,
    "roberta": ENCODER,
    "distilbert": ENCODER,
    "gpt2": (*ENCODER, "causal-lm"),
    "llama": (*ENCODER[:3], "causal-lm"),
    "t5": (*ENCODER, "seq2seq-lm"),
}
"""Architecture → the heads that its files can be loaded with."""
PAIRS = [(model_type, kind) for model_type, kinds in HEADS.items() for kind in kinds]
FEW_PAIRS = [(model_type, kinds[i]) for model_type, kinds in HEADS.items() for i in (1, -1)]
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "t5": {"decoder_start_token_id": 0, "eos_token_id": 3, "num_decoder_layers": 2}
}
TARGETS: Mapping[str, list[str]] = {
    "bert": ["query", "value", "intermediate.dense"],
    "roberta": ["query", "value", "intermediate.dense"],
    "distilbert": ["q_lin", "v_lin", "lin1"],
    "gpt2": ["c_attn", "c_fc"],
    "llama": ["q_proj", "v_proj", "up_proj"],
    "t5": ["q", "v", "wi"],
}
"""Architecture → layers that a LoRA is put on."""
TEXTS = ["the apple is sweet and ripe", "a rusty drill"]


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    """Return a function that makes a tiny base of a model type, once for each config."""
    root = tmp_path_factory.mktemp("bases")

    def make(model_type: str, **config: Any) -> ResolvedBase:
        settings = {**CONFIGS.get(model_type, {}), **config}
        folder = root / "-".join([model_type, *(f"{k}={v}" for k, v in settings.items())])
        if not folder.exists():
            write_tiny_model(folder, model_type, **settings)
        return resolved(folder)

    return make


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Draw every test's new heads from the same state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        yield


def resolved(folder: Path) -> ResolvedBase:
    return ResolvedBase(ref=folder.name, path=str(folder), source="path")


def head_of(kind: HeadKind) -> Head:
    """Return a head of three labels where it has labels."""
    if kind == "sequence-classification":
        return Head(kind=kind, labels=("fruit", "tool", "music"), problem="single-label")
    return Head(kind=kind, labels=("fruit", "tool", "music") if "token" in kind else ())


def batch_of(base: LoadedBase) -> dict[str, torch.Tensor]:
    """Return a batch of two texts with what the base's task has as its truth."""
    encoded = base.tokenizer(TEXTS, return_tensors="pt", padding=True)
    batch = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    ids = batch["input_ids"]
    if base.head.kind == "sequence-classification":
        return batch | {"labels": torch.tensor([0, 1])}
    if base.head.kind == "token-classification":
        return batch | {"labels": ids % 3}
    if base.head.kind == "question-answering":
        return batch | {
            "start_positions": torch.tensor([1, 1]),
            "end_positions": torch.ones(2).long(),
        }
    if base.head.kind == "none":
        return batch | ({"decoder_input_ids": ids} if base.model.config.is_encoder_decoder else {})
    return batch | {"labels": ids}


def answer(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return what a model gives first beside its loss: logits, or hidden states."""
    with torch.no_grad():
        output = model(**batch)
    values = output.to_tuple()[1 if "loss" in output else 0]
    assert isinstance(values, torch.Tensor)
    return values


def loss_of(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the task's loss; of a bare transformer the mean square of its hidden states' tanh."""
    output = model(**batch)
    loss = output["loss"] if "loss" in output else output[0].tanh().square().mean()
    assert isinstance(loss, torch.Tensor)
    return loss


def relative_error(values: torch.Tensor, reference: torch.Tensor) -> float:
    """Return the distance of two tensors over the reference's length."""
    difference = values.double() - reference.double()
    return float(difference.norm() / reference.double().norm())


def snapshot(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of everything a model's state holds, scales of quantised weights included."""
    return {
        name: value.detach().clone()
        for name, value in model.state_dict().items()
        if isinstance(value, torch.Tensor)
    }


def assert_same(state: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> None:
    """Assert that two snapshots hold the same bits."""
    assert state.keys() == other.keys()
    for name, value in state.items():
        assert value.dtype == other[name].dtype, name
        assert torch.equal(value, other[name]), name
