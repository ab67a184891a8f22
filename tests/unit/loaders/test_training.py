"""A LoRA trains on a quantised base of every architecture and task."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.specs import HeadKind, Params
from adapterhub_lite_quant import Int8Params, NF4Params
from adapterhub_lite_quant.loaders import Int8Loader, NF4Loader
from tests.unit.loaders.conftest import (
    PAIRS,
    TARGETS,
    Bases,
    answer,
    assert_same,
    batch_of,
    head_of,
    loss_of,
    snapshot,
)

KINDS: list[tuple[Any, Params]] = [
    (NF4Loader(), NF4Params(compute_dtype="float32")),
    (Int8Loader(), Int8Params()),
]
each_kind = pytest.mark.parametrize(("loader", "params"), KINDS, ids=["nf4", "int8"])
# PEFT asks for what transformers has renamed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing`:FutureWarning"
)  # PEFT's


def with_lora(base: LoadedBase, model_type: str) -> Any:
    """Put a LoRA on a base; its B is drawn, so that every parameter gets a gradient at once."""
    config = LoraConfig(
        target_modules=TARGETS[model_type],
        modules_to_save=list(base.new) or None,
        init_lora_weights=False,
    )
    return get_peft_model(base.model, config)


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is not None
    }


@each_kind
@pytest.mark.parametrize(("model_type", "kind"), PAIRS)
def test_the_loss_falls_and_the_base_stays(
    bases: Bases, loader: Any, params: Params, model_type: str, kind: HeadKind
) -> None:
    check_training(bases, loader, params, model_type, kind)


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "t5"])
def test_it_does_in_bfloat16(bases: Bases, model_type: str) -> None:
    params = NF4Params(compute_dtype="bfloat16")
    check_training(bases, NF4Loader(), params, model_type, "sequence-classification")


def check_training(
    bases: Bases, loader: Any, params: Params, model_type: str, kind: HeadKind
) -> None:
    """Train for a few steps; only what learns may change, and all of it has a gradient."""
    base = loader.load(bases(model_type), head_of(kind), params, "cpu")
    batch = batch_of(base)
    model = with_lora(base, model_type).train()
    learned = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    before = {name: value for name, value in snapshot(model).items() if name not in learned}
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-2)
    losses = []
    for step in range(8):
        torch.manual_seed(step % 2)  # two dropout masks, taken in turn
        loss = loss_of(model, batch)
        optimiser.zero_grad()
        loss.backward()
        assert gradients(model).keys() == learned
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[1]
    answer(model.eval(), batch)
    after = {name: value for name, value in snapshot(model).items() if name not in learned}
    assert_same(before, after)


@each_kind
@pytest.mark.parametrize("model_type", TARGETS)
def test_gradient_checkpointing_gives_the_same_gradients(
    bases: Bases, loader: Any, params: Params, model_type: str
) -> None:
    base = loader.load(bases(model_type), head_of("token-classification"), params, "cpu")
    batch = batch_of(base)
    model = with_lora(base, model_type).train()
    found = []
    for checkpointing in (False, True):
        if checkpointing:
            base.model.activation_checkpointing_enable()
        torch.manual_seed(0)
        model.zero_grad()
        loss_of(model, batch).backward()
        found.append(gradients(model))
    assert base.model.is_activation_checkpointing
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, msg=name)
