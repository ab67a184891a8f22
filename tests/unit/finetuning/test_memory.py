"""Gradient checkpointing and mixed precision."""

from unittest.mock import patch

import pytest
import torch

from adapterhub_lite.finetuning.loop import fit
from adapterhub_lite.finetuning.params import TrainerParams
from adapterhub_lite.protocols import Attached
from tests.unit.finetuning.conftest import (
    Points,
    RunOf,
    Sentences,
    assert_same,
    attached,
    bert,
    network,
    training,
)


def _only_top_layer() -> Attached:
    model = bert(lora=False).model
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("layer.1" in name or name.startswith("classifier"))
    return attached(model)


@pytest.mark.parametrize("kind", ["full", "lora", "top layer"])
def test_checkpointed_activations_give_the_same_gradients(kind: str, run_of: RunOf) -> None:
    makers = {
        "full": lambda: bert(lora=False),
        "lora": lambda: bert(lora=True),
        "top layer": _only_top_layer,
    }
    models, losses, recomputed = [], [], []
    for on in (False, True):
        model, run = makers[kind](), run_of()
        params = TrainerParams(epochs=1, gradient_checkpointing=on, optimizer="sgd")
        original = torch.utils.checkpoint.checkpoint
        with patch("transformers.modeling_utils.checkpoint", side_effect=original) as checkpoint:
            fit(model, Sentences(), training(24), params, run)
        recomputed.append(checkpoint.call_count)
        models.append(model)
        losses.append([step["loss"] for step in run.steps])
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert_same(models[0], models[1], tolerance=1e-6)
    assert recomputed[0] == 0 < recomputed[1]
    assert not models[1].model.is_activation_checkpointing


def test_checkpointing_leaves_the_embeddings_alone(run_of: RunOf) -> None:
    model = bert(lora=True)
    params = TrainerParams(max_steps=1, gradient_checkpointing=True)
    fit(model, Sentences(), training(8), params, run_of())
    embedded = model.model.get_input_embeddings()(torch.tensor([1, 2]))
    assert not embedded.requires_grad


def test_checkpointing_holds_less_for_the_way_back(run_of: RunOf) -> None:
    held = {}
    for on in (False, True):
        sizes: list[int] = []

        def keep(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        params = TrainerParams(max_steps=1, gradient_checkpointing=on)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            fit(bert(lora=True), Sentences(), training(8), params, run_of())
        held[on] = sum(sizes)
    assert held[True] < held[False]


def test_bf16_computes_in_bf16_and_learns_in_float32(run_of: RunOf) -> None:
    kinds: set[torch.dtype] = set()
    model = network(dtype=torch.float32)
    model.model[-1].register_forward_hook(lambda *call: kinds.add(call[-1].dtype))
    fit(model, Points(), training(16), TrainerParams(precision="bf16", epochs=1), run_of())
    assert kinds == {torch.bfloat16}
    assert {p.dtype for p in model.model.parameters()} == {torch.float32}


def test_bf16_stays_near_fp32(run_of: RunOf) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        run = run_of()
        params = TrainerParams(precision=precision, epochs=3)
        fit(bert(lora=True, dropout=0.0), Sentences(), training(24), params, run)
        losses[precision] = [step["loss"] for step in run.steps]
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], abs=0.02)
